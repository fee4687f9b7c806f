"""Erasing a contact of a run that is being prepared, sent, held or left behind: nothing is sent to it afterwards."""

from collections.abc import Callable, Container, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import move_run
from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import claims, contacts, plans, runs, state_changes, suppressions
from campaign_pipeline.core.words import Channel, ConsentState, RunState
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Lookup, Result
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.operations import runs as module
from campaign_pipeline.operations import sending
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.privacy.erasure import erase_contact
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.sending import send_channel
from campaign_pipeline.operations.snapshot import take_snapshot
from tests.databases import initialised

PEOPLE = 6


class ListChannel:
    """Keeps the addresses that it is sent to; `before` is called before each batch is."""

    name = Channel.EMAIL
    provider = "sendgrid"
    capabilities = Capabilities(max_batch=2)

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.before: Callable[[], None] = lambda: None

    def __enter__(self) -> "ListChannel":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, batch: Batch) -> list[Result]:
        self.before()
        self.addresses += [message.address for message in batch.messages]
        return [Result(message.message_no, Kind.ACCEPTED, "", f"id-{message.message_no}") for message in batch.messages]

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        raise AssertionError("nobody may be asked about a contact that was erased")


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> ListChannel:
    channel = ListChannel()
    monkeypatch.setattr(sending, "open_channel", lambda _name, _settings, **_: channel)
    return channel


@pytest.fixture(params=["sqlite", pytest.param("postgres", id="postgres")])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    url = ""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    settings = Settings(
        _env_file=None, data_dir=tmp_path / "data", database_url=url, sendgrid_batch_size=2, dispatch_requests=1
    )
    installation = initialised(settings)
    yield installation
    installation.engine.dispose()


@pytest.fixture
def run_id(installation: Installation, folder: Path) -> str:
    """A run whose audience is frozen: six contacts, all planned; not rendered yet."""
    now = installation.clock()
    apply_folder(installation, folder)
    with writing(installation.engine) as connection:
        for number in range(PEOPLE):
            row = {"contact_id": ids.contact_id(f"x{number}"), "external_id": f"x{number}", "attributes": {}}
            named = {"email": f"user{number}@people.test", "created_at": now, "updated_at": now}
            connection.execute(sa.insert(contacts), row | named)
            granted = ConsentState.GRANTED
            record_consent(connection, row["contact_id"], Channel.EMAIL, granted, source="test", at=now)
        as_of = now.replace(microsecond=0)
        run_id = request_run(connection, "spring-sale", as_of, requested_by="test", at=now)
    snapshot = take_snapshot(installation).frame
    installation.lake.write(snapshot.select("contact_id"), "segment_members", run_id)
    module.freeze_audience(installation, run_id)
    return run_id


def move(installation: Installation, run_id: str, *states: RunState) -> None:
    for state in states:
        with writing(installation.engine) as connection:
            move_run(connection, run_id, state, actor="test", at=installation.clock())


def plan(installation: Installation, run_id: str) -> tuple[str, str]:
    """Render and plan the run; (external id, address) of the contact with the last message."""
    _, messages, _ = write_messages(installation, run_id)
    module.plan_dispatch(installation, run_id)
    address: str = messages.collect()["address"][-1]
    return f"x{address[4]}", address


def erase(installation: Installation, external_id: str) -> None:
    erase_contact(installation, external_id, actor="test")


def send(installation: Installation, run_id: str) -> None:
    send_channel(installation, run_id, Channel.EMAIL, worker_name="test")


def suppressed(installation: Installation) -> int:
    with reading(installation.engine) as connection:
        return connection.execute(sa.select(sa.func.count()).where(suppressions.c.hashed)).scalar_one()


# ---- refused ------------------------------------------------------------------------------------------------------


def test_a_run_that_is_being_prepared_is_waited_for(installation: Installation, run_id: str) -> None:
    with pytest.raises(Refused, match=f"{run_id} is being prepared") as refused:
        erase(installation, "x1")
    assert "suppressed already" in refused.value.hint
    assert suppressed(installation) == 2  # its e-mail address, and its external id, to which webhooks go
    assert installation.lake.read("audience", run_id).height == PEOPLE


def test_an_unsent_message_of_a_run_under_way_is_waited_for_and_not_sent(
    installation: Installation, run_id: str, channel: ListChannel
) -> None:
    external_id, address = plan(installation, run_id)
    with pytest.raises(Refused, match=f"{run_id} is being sent"):
        erase(installation, external_id)
    send(installation, run_id)
    assert len(channel.addresses) == PEOPLE - 1
    assert address not in channel.addresses
    erase(installation, external_id)
    assert account(installation.engine, installation.lake, run_id).messages == {"accepted": 5, "suppressed": 1}


def test_a_request_that_may_be_on_its_way_is_waited_for(
    installation: Installation, run_id: str, channel: ListChannel
) -> None:
    external_id, _ = plan(installation, run_id)
    batch = {"run_id": run_id, "batch_no": 2, "attempt": 1, "worker": "another"}
    with writing(installation.engine) as connection:
        connection.execute(sa.insert(claims), batch | {"claimed_at": installation.clock()})
    move(installation, run_id, RunState.PAUSED)
    with pytest.raises(Refused, match=f"{run_id} is being sent"):
        erase(installation, external_id)

    with writing(installation.engine) as connection:  # its worker died
        old = installation.clock() - timedelta(hours=1)
        connection.execute(sa.update(claims).values(claimed_at=old))
    erase(installation, external_id)
    # The doubt about this message is given up, because nobody can be asked about it; the other one stays.
    found = account(installation.engine, installation.lake, run_id)
    assert found.messages == {"planned": 4, "unknown": 1, "in_doubt": 1}


# ---- carried out --------------------------------------------------------------------------------------------------


def test_a_held_run_goes_on_without_the_contact(installation: Installation, run_id: str, channel: ListChannel) -> None:
    external_id, address = plan(installation, run_id)
    move(installation, run_id, RunState.PAUSED)
    erase(installation, external_id)
    move(installation, run_id, RunState.SCHEDULED, RunState.RUNNING)
    module.plan_dispatch(installation, run_id)  # the gates pass again
    send(installation, run_id)
    assert sorted(channel.addresses) == sorted({f"user{number}@people.test" for number in range(PEOPLE)} - {address})
    assert account(installation.engine, installation.lake, run_id).messages == {"accepted": 5, "suppressed": 1}


def test_two_erased_contacts_of_a_run_do_not_share_an_address(
    installation: Installation, run_id: str, channel: ListChannel
) -> None:
    plan(installation, run_id)
    move(installation, run_id, RunState.PAUSED)
    erase(installation, "x1")
    erase(installation, "x2")
    move(installation, run_id, RunState.SCHEDULED, RunState.RUNNING)
    module.plan_dispatch(installation, run_id)
    send(installation, run_id)
    assert sorted(channel.addresses) == [f"user{number}@people.test" for number in (0, 3, 4, 5)]
    assert account(installation.engine, installation.lake, run_id).messages == {"accepted": 4, "suppressed": 2}


def test_a_worker_that_has_the_message_in_memory_does_not_send_it(
    installation: Installation, run_id: str, channel: ListChannel
) -> None:
    """Held, erased and resumed while the worker waits for the answer to its first batch."""
    external_id, address = plan(installation, run_id)

    def meanwhile() -> None:
        channel.before = lambda: None
        move(installation, run_id, RunState.PAUSED)
        erase(installation, external_id)
        move(installation, run_id, RunState.SCHEDULED, RunState.RUNNING)

    channel.before = meanwhile
    send(installation, run_id)
    assert len(channel.addresses) == PEOPLE - 1
    assert address not in channel.addresses
    assert account(installation.engine, installation.lake, run_id).messages == {"accepted": 5, "suppressed": 1}


def test_a_run_that_was_not_planned_is_frozen_anew(
    installation: Installation, run_id: str, channel: ListChannel
) -> None:
    write_messages(installation, run_id)
    move(installation, run_id, RunState.FAILED)
    erase(installation, "x3")
    for asset in ("segment_members", "audience", "messages", "skeletons"):
        assert not installation.lake.exists(asset, run_id)
    snapshot = take_snapshot(installation).frame
    installation.lake.write(snapshot.select("contact_id"), "segment_members", run_id)
    move(installation, run_id, RunState.SCHEDULED)
    module.freeze_audience(installation, run_id)
    plan(installation, run_id)
    send(installation, run_id)
    assert sorted(channel.addresses) == [f"user{number}@people.test" for number in (0, 1, 2, 4, 5)]


# ---- other --------------------------------------------------------------------------------------------------------


def test_reasons_that_name_the_contact_do_not_any_more(installation: Installation, run_id: str) -> None:
    contact = ids.contact_id("x1")
    with writing(installation.engine) as connection:
        at = installation.clock()
        move_run(
            connection, run_id, RunState.FAILED, actor="test", at=at, reason=f"null (contacts: 1; first {contact})"
        )
    erase(installation, "x1")
    with reading(installation.engine) as connection:
        reasons = {
            connection.execute(sa.select(runs.c.reason)).scalar_one(),
            *connection.execute(sa.select(state_changes.c.reason).where(state_changes.c.subject == run_id)).scalars(),
        }
    assert "null (contacts: 1; first (erased))" in reasons
    assert not [reason for reason in reasons if contact in reason]


def test_the_record_names_nobody(installation: Installation) -> None:
    now = installation.clock()
    contact = ids.contact_id("x1")
    with writing(installation.engine) as connection:
        row = {"contact_id": contact, "external_id": "x1", "attributes": {}, "email": "user1@people.test"}
        connection.execute(sa.insert(contacts), row | {"created_at": now, "updated_at": now})
    erased = erase_contact(installation, contact, actor="clerk")
    with reading(installation.engine) as connection:
        record = connection.execute(sa.select(state_changes).order_by(state_changes.c.change_id)).all()
        assert connection.execute(sa.select(plans)).all() == []
    assert [(entry.subject, entry.to_state, entry.actor) for entry in record] == [
        (f"erasure:{erased.erasure}", "requested", "clerk"),
        (f"erasure:{erased.erasure}", "erased", "clerk"),
    ]
    assert record[1].reason == "table contacts: 1"
    assert erased.stores == {"table contacts": 1}


def test_who_is_not_known_is_not_found(installation: Installation) -> None:
    with pytest.raises(NotFound, match="nothing is held about this contact"):
        erase(installation, "nobody")
    assert suppressed(installation) == 0


def test_another_with_the_same_address_keeps_everything_but_is_not_sent_to(
    installation: Installation, run_id: str
) -> None:
    move(installation, run_id, RunState.CANCELLED)
    with writing(installation.engine) as connection:
        connection.execute(sa.update(contacts).where(contacts.c.external_id == "x2").values(email="user1@people.test"))
    erase(installation, "x1")
    left = take_snapshot(installation, full=True).frame.sort("external_id")
    assert left["external_id"].to_list() == ["x0", "x2", "x3", "x4", "x5"]
    assert left["reachable_email"].to_list() == [True, False, True, True, True]
    assert installation.lake.read("audience", run_id)["status"].to_list() == ["planned"] * PEOPLE
