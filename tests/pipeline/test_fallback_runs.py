"""A run by WhatsApp that reaches nobody there: SMS next, then e-mail. Nobody gets two, and all are accounted for."""

from collections.abc import Iterator
from datetime import timedelta

import polars as pl
import pytest

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, load_campaign
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.defs.launch import run_and_wait
from campaign_pipeline.demo.town import take_in_people
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.results import measure_facts
from campaign_pipeline.sandbox.behaviour import Behaviour
from tests.rehearsal import AS_OF, Rehearsal, rehearsal

NOT_ON_WHATSAPP = {"delivered": 0.0, "undelivered": {63024: 0.6, 21610: 0.4}, "read": 0.0, "replied": 0.0}
BY_SMS = {"delivered": 0.5, "undelivered": {30005: 0.5}, "replied": 0.0}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("town")
    behaviour = Behaviour(by_category={"channel:whatsapp": NOT_ON_WHATSAPP, "channel:sms": BY_SMS})
    with rehearsal(folder, behaviour) as town:
        take_in_people(town.installation, folder / "people", 400)
        apply_folder(town.installation, SAMPLE_DEFINITIONS_DIR)
        yield town


@pytest.fixture(scope="module")
def run_id(town: Rehearsal) -> str:
    """The run after its first wave; all its contacts consented to every channel."""
    with writing(town.installation.engine) as connection:
        fields = load_campaign(connection, "vip-preview").model_dump(mode="json", exclude_none=True)
        steps = [
            {"channel": "sms", "templates": {"invitation": "lapsed_sms_points"}},
            {"channel": "email", "templates": {"invitation": "spring_plain"}},
        ]
        changed = {"campaign": "vip-everywhere", "fallback": steps, "quiet_hours": "ignore", "purpose": "service"}
        apply_campaign(connection, Campaign.model_validate(fields | changed), AS_OF - timedelta(days=1))
        everybody = pl.read_database("SELECT contact_id FROM contacts", connection)["contact_id"]
        for contact_id in everybody:
            for channel in (Channel.WHATSAPP, Channel.SMS, Channel.EMAIL):
                record_consent(
                    connection, contact_id, channel, ConsentState.GRANTED, source="t", at=AS_OF, purpose="service"
                )
    run_id = town.request("vip-everywhere")
    run_and_wait(town.installation, town.instance, run_id)
    return run_id


def sent_by(town: Rehearsal, run_id: str) -> dict[str, int]:
    return dict(town.sends(run_id).group_by("channel").len().iter_rows())


def test_each_contact_is_reached_by_the_first_channel_that_can(town: Rehearsal, run_id: str) -> None:
    planned = town.account(run_id).audience["planned"]
    assert planned > 20
    assert sent_by(town, run_id) == {"whatsapp": planned}
    first = town.account(run_id)
    assert first.messages["accepted"] == planned
    assert first.standby == first.planned - planned > planned  # by SMS and by e-mail
    for _ in range(3):  # each wave may call up the next one
        town.take_in_events()
        run_and_wait(town.installation, town.instance, run_id)
    sends = town.sends(run_id)
    messages = town.installation.lake.read("messages", run_id)
    sends = sends.join(messages.select("message_id", "contact_id", "step"), on="message_id")
    events = town.installation.lake.read("delivery_events", f"{AS_OF:%Y-%m-%d}").filter(pl.col("run_id") == run_id)
    outcome = events.filter(pl.col("type").is_in(["delivered", "undelivered"])).select("message_id", "type", "reason")
    known = sends.join(outcome, on="message_id", how="left").sort("contact_id", "step")
    assert sends["message_id"].is_unique().all()
    assert set(sent_by(town, run_id)) == {"whatsapp", "sms", "email"}
    for _, rows in known.group_by("contact_id"):
        *before, _last = rows.sort("step").iter_rows(named=True)
        # Whoever was written to again certainly had got nothing, and had not asked for silence.
        assert all(row["type"] == "undelivered" for row in before)
        assert all(row["reason"].split(":")[0] in ("no_whatsapp", "hard") for row in before)
    silent = known.filter(pl.col("reason").str.starts_with("opted_out"))
    assert silent.height
    assert set(silent["contact_id"]).isdisjoint(known.filter(pl.col("step") > 0)["contact_id"])


def test_facts_speak_of_the_message_that_counts(town: Rehearsal, run_id: str) -> None:
    facts = measure_facts(town.installation, run_id).filter(pl.col("status") == "planned")
    assert facts["contact_id"].is_unique().all()
    by_channel = dict(facts.group_by("channel").len().iter_rows())
    assert set(by_channel) == {"whatsapp", "sms", "email"}
    assert by_channel["email"] == sent_by(town, run_id)["email"]
    with reading(town.installation.engine) as connection:
        assert load_campaign(connection, "vip-everywhere").fallback[0].channel is Channel.SMS


def test_when_the_window_is_over_nothing_stands_by(town: Rehearsal, run_id: str) -> None:
    found = town.account(run_id)
    assert sum(found.messages.values()) == found.planned
    assert found.messages.get("not_needed", 0) + found.standby > 0
    assert found.pending == 0
