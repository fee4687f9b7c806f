"""What operators see of senders, what holds a run back, and how they let it go."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_campaigns, load_sending_policy, request_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput, NotFound
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import breaker_changes, runs, sending_versions
from campaign_pipeline.core.words import Channel, RunState
from campaign_pipeline.dispatch import breakers, ceilings
from campaign_pipeline.dispatch.ceilings import Ceiling
from campaign_pipeline.dispatch.channels import open_channel, provider_of, sender_of
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.doctor import examine
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.senders import Held, held_back, reopen, senders_overview
from campaign_pipeline.operations.sending import sender_guards

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
NEWS = "sendgrid:news@example.com"
POLICY = """\
senders:
  email:
    rate: 50/s
    warm_up: {daily: [50, 100]}
    domains:
      "*": {daily: 1000}
      gmail.com: {rate: 5/s}
"""


@pytest.fixture
def now(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The clock: a list of one moment."""
    moments = [AT]
    monkeypatch.setattr(Settings, "clock", property(lambda _self: lambda: moments[0]))
    return moments


def write(folder: Path, text: str, name: str = "sending.yaml") -> Path:
    (folder / name).write_text(text)
    return folder


def trip(installation: Installation, subject: str, kind: Kind = Kind.CONFIG, code: str = "http_401") -> None:
    pause = timedelta(minutes=5)
    with writing(installation.engine) as connection:
        breakers.trip(
            connection, subject, kind, code, said_by="sendgrid", actor="w", at=AT, pause=pause, longest=pause
        )  # fmt: skip


def use(installation: Installation, units: int, domain: str = "") -> None:
    free: Sequence[Ceiling] = [Ceiling(None, domain)]
    with writing(installation.engine) as connection:
        ceilings.count(connection, NEWS, free, [1] * units, "2026-03-02")


def held(installation: Installation, campaign: str) -> Held | None:
    with reading(installation.engine) as connection:
        return held_back(installation, load_campaigns(connection)[campaign])


def test_the_policy_is_kept_as_versions_and_the_newest_is_in_force(installation: Installation, folder: Path) -> None:
    with reading(installation.engine) as connection:
        assert load_sending_policy(connection).senders == {}
    applied = {(each.kind, each.name): each.change for each in apply_folder(installation, write(folder, POLICY))}
    assert applied["sending", "policy"] == "new"
    assert apply_folder(installation, folder)[-1].change == "unchanged"
    changed = apply_folder(installation, write(folder, POLICY.replace("50/s", "60/s")))
    assert changed[-1].change == "changed"
    with reading(installation.engine) as connection:
        policy = load_sending_policy(connection).sender(Channel.EMAIL)
        versions = connection.execute(sa.select(sending_versions.c.version)).scalars().all()
    assert policy is not None
    assert (policy.rate, versions) == ("60/s", [1, 2])


def test_a_policy_alone_is_a_folder_of_definitions(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    applied = apply_folder(
        installation, write(tmp_path / "only", '{"senders": {"sms": {"rate": "5/s"}}}', "sending.json")
    )
    assert [(each.kind, each.change) for each in applied] == [("sending", "new")]


def test_a_wrong_policy_keeps_everything_from_being_applied(installation: Installation, folder: Path) -> None:
    with pytest.raises(InvalidDefinition) as raised:
        apply_folder(installation, write(folder, POLICY.replace("50/s", "fast")))
    assert (raised.value.file.name, raised.value.line, raised.value.field) == ("sending.yaml", 3, "senders.email.rate")
    with reading(installation.engine) as connection:
        assert load_campaigns(connection) == {}


def test_two_files_for_the_policy_are_refused(installation: Installation, folder: Path) -> None:
    write(folder, POLICY)
    with pytest.raises(InvalidDefinition, match="there is one sending policy"):
        apply_folder(installation, write(folder, POLICY, "sending.yml"))


def test_each_sender_has_a_line_and_each_of_its_domains(
    installation: Installation, folder: Path, now: list[datetime]
) -> None:
    apply_folder(installation, write(folder, POLICY))
    use(installation, 20)
    use(installation, 7, "*")
    lines = [
        (line.sender, line.domain, line.rate, line.used_today, line.ceiling, line.state)
        for line in senders_overview(installation)
    ]
    assert lines[:3] == [
        (NEWS, "", "50/s", 20, 50, "ok"),
        (NEWS, "gmail.com", "5/s", 0, None, "ok"),
        (NEWS, "*", None, 7, 1000, "ok"),
    ]
    assert lines[3] == ("twilio:+15005550006", "", None, None, None, "ok")
    now[0] = AT + timedelta(days=1)
    assert senders_overview(installation)[0].ceiling == 100


def test_a_halted_channel_shows_why_and_until_when(installation: Installation, now: list[datetime]) -> None:
    trip(installation, "channel:email")
    line = senders_overview(installation)[0]
    assert (line.state, line.since, line.until) == ("halted", AT, AT + timedelta(minutes=5))
    assert line.reason == "sendgrid answered http_401: credentials, sender or account are refused"
    with writing(installation.engine) as connection:
        seen = breakers.breakers(connection)["channel:email"]
        breakers.hold_for_try(connection, seen, "two", AT + timedelta(minutes=5))
    assert senders_overview(installation)[0].state == "trying"
    assert senders_overview(installation)[1].state == "ok"


def test_every_channel_is_opened_with_the_provider_that_it_says(settings: Settings) -> None:
    for channel in Channel:
        with open_channel(channel, settings) as opened:
            assert opened.provider == provider_of(channel, settings)
            assert sender_of(channel, settings).startswith(f"{opened.provider}:")


def test_what_holds_a_run_back_is_said(installation: Installation, folder: Path, now: list[datetime]) -> None:
    apply_folder(installation, write(folder, POLICY))
    assert held(installation, "spring-sale") is None
    use(installation, 50)
    full = held(installation, "spring-sale")
    assert full is not None
    assert full.why == f"the day's ceiling of {NEWS} is used up (50) until 2026-03-03 00:00 UTC"
    assert (full.until, full.is_halted) == (datetime(2026, 3, 3, tzinfo=UTC), False)
    trip(installation, "channel:email")
    halted = held(installation, "spring-sale")
    assert halted is not None
    assert halted.is_halted
    assert halted.why.startswith("channel:email is halted since 2026-03-02 09:00:00 until 2026-03-02 09:05:00 UTC: ")
    assert "campaigns senders reopen channel:email --reason WHY" in halted.hint
    assert held(installation, "reminder") is None


def test_the_doctor_lists_what_is_halted(installation: Installation, now: list[datetime]) -> None:
    trip(installation, f"sender:{NEWS}", Kind.FILTERED, "30007")
    found = [finding for finding in examine(installation) if finding.check == "sending"]
    assert len(found) == 1
    assert (found[0].ok, f"sender:{NEWS} is halted" in found[0].found) == (False, True)
    assert f"campaigns senders reopen sender:{NEWS}" in found[0].advice


def test_reopening_is_kept_with_actor_and_reason_and_wakes_the_runs_that_wait(
    installation: Installation, folder: Path, now: list[datetime]
) -> None:
    apply_folder(installation, folder)
    trip(installation, "channel:email")
    with writing(installation.engine) as connection:
        run = request_run(connection, "spring-sale", AT, requested_by="cli", at=AT)
        connection.execute(sa.update(runs).values(state=RunState.RUNNING, next_wave_at=AT + timedelta(hours=1)))
    reopen(installation, "channel:email", actor="ann", reason="new key")
    with reading(installation.engine) as connection:
        assert breakers.open_breakers(connection) == []
        row = connection.execute(sa.select(breaker_changes).order_by(breaker_changes.c.change_id.desc())).first()
        wave = connection.execute(sa.select(runs.c.next_wave_at).where(runs.c.run_id == run)).scalar_one()
    assert row is not None
    assert (row.open, row.kind, row.actor, row.reason, row.changed_at) == (False, "person", "ann", "new key", AT)
    assert wave is None


def test_what_is_not_halted_cannot_be_reopened(installation: Installation) -> None:
    with pytest.raises(NotFound, match="Nothing is halted"):
        reopen(installation, "channel:email", actor="ann", reason="x")
    trip(installation, "channel:email")
    with pytest.raises(NotFound, match="'channel:sms' is not halted\n  Halted are: channel:email"):
        reopen(installation, "channel:sms", actor="ann", reason="x")
    with pytest.raises(InvalidInput, match="--reason is empty"):
        reopen(installation, "channel:email", actor="ann", reason=" ")


def test_a_worker_takes_the_policy_in_force_when_it_begins(
    installation: Installation, folder: Path, now: list[datetime]
) -> None:
    assert [type(guard).__name__ for guard in sender_guards(installation, Channel.EMAIL, "w")] == ["Breakers", "Paced"]
    apply_folder(installation, write(folder, POLICY + "    breaker: {filtered: 3, of: 9}\n"))
    breaker, pace = sender_guards(installation, Channel.EMAIL, "w")
    assert (breaker.policy.filtered, pace.policy.rate, pace.sender) == (3, "50/s", NEWS)  # type: ignore[attr-defined]
