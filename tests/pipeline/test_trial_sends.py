"""Test messages and seeds, through the sandbox and the event receiver: marked, sent once, and in no figure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.contacts.suppression import Suppression, suppress
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import GateFailed, InvalidInput, Refused
from campaign_pipeline.core.ids import is_trial
from campaign_pipeline.core.tables import claims, contacts
from campaign_pipeline.core.words import Channel, ConsentState, RunState, SuppressionReason
from campaign_pipeline.dispatch.channels.sendgrid import SendGrid
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template
from campaign_pipeline.operations import control, rendering, runs, sending
from campaign_pipeline.operations.seeds import seed_lake
from campaign_pipeline.operations.send_test import send_test
from tests.rehearsal import AS_OF, Rehearsal, rehearsal

SEEDS = ["inbox@example.com", "other@example.com"]
OUT = '<a href="{{ unsubscribe_url }}">out</a>'
TEMPLATE = {
    "template": "t",
    "channel": "email",
    "subject": "Hi {{ contact.first_name }}",
    "html": f"<p>Hi {{{{ contact.first_name }}}}</p>{OUT}",
    "text": "Hi",
    "inputs": {"first_name": {"example": "Zoe"}},
    "locales": {"de": {"subject": "Hallo", "html": f"<p>Hallo {{{{ contact.first_name }}}}</p>{OUT}", "text": "Ja"}},
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path) as world:
        yield world


def prepare(world: Rehearsal, template: dict[str, Any] = TEMPLATE, locale: str = "en") -> str:
    """A campaign with two variants, and a run of it with its messages written; the run's id."""
    engine, lake = world.installation.engine, world.installation.lake
    variants = [{"name": name, "weight": 1, "template": "t"} for name in ("a", "b")]
    fields = {"campaign": "spring", "channel": "email", "segment": "s", "variants": variants, "seeds": SEEDS}
    rows = [
        {"contact_id": f"{n:024x}", "external_id": str(n), "email": f"c{n}@example.com", "first_name": f"N{n}"}
        for n in range(3)
    ]
    rest = {"locale": locale, "timezone": "UTC"}
    with writing(engine) as connection:
        apply_template(connection, Template.model_validate(template), AS_OF)
        apply_campaign(connection, Campaign.model_validate(fields), AS_OF)
        for row in rows:
            stored = {**row, **rest, "attributes": {}, "created_at": AS_OF, "updated_at": AS_OF}
            connection.execute(sa.insert(contacts), stored)
            record_consent(connection, row["contact_id"], Channel.EMAIL, ConsentState.GRANTED, source="test", at=AS_OF)
    snapshot = pl.DataFrame([{**row, **rest} for row in rows])
    lake.write(snapshot, "contact_snapshot")
    run_id = world.request("spring")
    lake.write(snapshot.select("contact_id"), "segment_members", run_id)
    runs.freeze_audience(world.installation, run_id)
    rendering.write_messages(world.installation, run_id)
    return run_id


def send(world: Rehearsal, run_id: str) -> Any:
    return sending.send_channel(world.installation, run_id, Channel.EMAIL, worker_name="w")


def of_seeds(world: Rehearsal) -> pl.DataFrame:
    sends = world.sandbox.sends()
    return sends.filter(pl.Series([is_trial(run_id) for run_id in sends["run_id"]], dtype=pl.Boolean))


def test_each_seed_gets_each_variant_and_language_once(world: Rehearsal) -> None:
    run_id = prepare(world)
    runs.plan_dispatch(world.installation, run_id)
    for _ in range(2):
        send(world, run_id)
        runs.plan_dispatch(world.installation, run_id)
    assert of_seeds(world).height == 2 * 2 * 2
    assert world.sends(run_id).height == 3
    messages = seed_lake(world.installation).read("messages", "test--spring--20260302t090000z")
    assert set(messages.select("variant", "locale", "address").rows()) == {
        (variant, locale, address) for variant in "ab" for locale in ("en", "de") for address in SEEDS
    }
    assert messages["fragments"].list.get(0).unique().to_list() == ["Zoe"]  # nobody's data


def test_seeds_are_in_no_account_and_no_event(world: Rehearsal) -> None:
    run_id = prepare(world)
    runs.plan_dispatch(world.installation, run_id)
    send(world, run_id)
    assert world.account(run_id).counts() == {"accepted": 3, "pending": 0}
    assert sending.settle_run(world.installation, run_id).state == RunState.COMPLETED
    world.sandbox.control.wait_until_idle(60)
    installation = world.installation
    received = receive(installation.engine, installation.lake, installation.settings)
    assert received.trials >= 8
    assert received.events > 0
    assert received.touched_runs == {run_id}
    assert set(pl.read_parquet(installation.lake.glob("received_events"))["run_id"]) == {run_id}


def test_a_worker_that_dies_after_its_claim_sends_no_seed_twice(
    world: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = prepare(world)
    runs.plan_dispatch(world.installation, run_id)
    real = SendGrid.send

    def die(channel: SendGrid, batch: Any) -> Any:
        real(channel, batch)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(SendGrid, "send", die)
        with pytest.raises(KeyboardInterrupt):
            send(world, run_id)
    send(world, run_id)
    assert of_seeds(world).group_by("message_id").len()["len"].to_list() == [1] * 8
    assert world.sends(run_id).height == 3


def test_a_cancelled_run_sends_no_seeds(world: Rehearsal) -> None:
    run_id = prepare(world)
    runs.plan_dispatch(world.installation, run_id)
    control.cancel(world.installation, "spring", actor="ann", reason="")
    send(world, run_id)
    assert world.sandbox.sends().is_empty()


def test_a_suppressed_seed_is_left_out(world: Rehearsal) -> None:
    run_id = prepare(world)
    with writing(world.installation.engine) as connection:
        suppress(connection, [Suppression(Channel.EMAIL, SEEDS[0], SuppressionReason.MANUAL, "test", AS_OF)])
    runs.plan_dispatch(world.installation, run_id)
    send(world, run_id)
    assert of_seeds(world).height == 4


def test_errors_in_messages_keep_a_run_and_its_seeds_from_being_planned(world: Rehearsal) -> None:
    run_id = prepare(world, template=TEMPLATE | {"html": "<p>Hi</p>"})
    with pytest.raises(GateFailed, match="has no link to"):
        runs.plan_dispatch(world.installation, run_id)
    with world.installation.engine.connect() as connection:
        assert connection.execute(sa.select(claims)).all() == []
    assert not seed_lake(world.installation).partitions("messages")


def test_once_planned_the_checks_block_nothing(world: Rehearsal) -> None:
    run_id = prepare(world, locale="de")
    run = runs.plan_dispatch(world.installation, run_id)
    changed = {name: value for name, value in TEMPLATE.items() if name != "locales"} | {"html": "<p>Hi</p>"}
    with writing(world.installation.engine) as connection:
        apply_template(connection, Template.model_validate(changed), AS_OF)
    runs.plan_dispatch(world.installation, run_id)
    messages = world.installation.lake.scan("messages", run_id)
    _, gates = runs.check_written(world.installation, run, messages)
    assert [gate.passed for gate in gates if gate.blocking] == [True]


def test_a_test_message_is_sent_at_once_marked_and_in_no_figure(world: Rehearsal) -> None:
    prepare(world)
    sent = send_test(world.installation, "t", "Me@Example.com")
    assert (sent.result.kind, sent.trial.parts["subject"]) == ("accepted", "[Test] Hi Zoe")
    assert is_trial(sent.run_id)
    assert "/u/" in sent.trial.parts["html"]
    german = send_test(world.installation, "t", "me@example.com", contact=f"{1:024x}", locale="de")
    assert "<p>Hallo N1</p>" in german.trial.parts["html"]
    assert sent.message_id != german.message_id
    assert of_seeds(world).height == 2
    world.sandbox.control.wait_until_idle(60)
    installation = world.installation
    received = receive(installation.engine, installation.lake, installation.settings)
    assert (received.events, received.unknown, received.rejected) == (0, 0, 0)
    assert received.trials >= 2


def test_a_test_message_goes_nowhere_it_must_not(world: Rehearsal) -> None:
    prepare(world)
    with writing(world.installation.engine) as connection:
        suppress(connection, [Suppression(Channel.EMAIL, "me@example.com", SuppressionReason.MANUAL, "t", AS_OF)])
    with pytest.raises(Refused, match="the address is suppressed"):
        send_test(world.installation, "t", "ME@example.com")
    with pytest.raises(InvalidInput, match="not one of email"):
        send_test(world.installation, "t", "+12025550100")
    assert world.sandbox.sends().is_empty()
