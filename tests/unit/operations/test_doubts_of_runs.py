"""Doubts and the run that they are of: it is completed with them, looked at again, and goes on if one is sent again."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import move_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound, Refused
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import state_changes
from campaign_pipeline.core.words import Outcome, RunState
from campaign_pipeline.dispatch.channels.base import Capabilities
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.operations import doubts, sending
from campaign_pipeline.operations.control import cancel, pause, resume
from campaign_pipeline.operations.doubts import list_doubts, runs_to_look_at
from campaign_pipeline.operations.doubts_shown import by_age, rows_of, summary_of
from campaign_pipeline.operations.resolving import resolve_doubts
from campaign_pipeline.operations.sending import settle_run
from campaign_pipeline.operations.status import runs_overview
from tests.doubtful import Doubtful, Provider

S = RunState
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SOON = timedelta(seconds=30)
NEVER_LOSE = {"on_doubt": "never_lose", "doubt_window": "1h"}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    provider = Provider({1: Kind.DELIVERY_UNKNOWN})
    for module in (doubts, sending):
        monkeypatch.setattr(module, "open_channel", lambda _name, _settings, **_: provider)
    return provider


@pytest.fixture
def begin(settings: Settings, provider: Provider) -> Iterator[Callable[..., Doubtful]]:
    """A run that was sent and settled once: message 1 is in doubt."""
    begun: list[Doubtful] = []

    def call(**campaign: Any) -> Doubtful:
        doubtful = Doubtful.begin(settings, provider, **campaign)
        begun.append(doubtful)
        doubtful.send()
        settle_run(doubtful.installation, doubtful.run_id)
        return doubtful

    yield call
    for doubtful in begun:
        doubtful.installation.engine.dispose()


def look(doubtful: Doubtful) -> None:
    """As the sensor does: settle the run if it is due."""
    assert list(runs_to_look_at(doubtful.installation)) == [doubtful.run_id]
    settle_run(doubtful.installation, doubtful.run_id)


def test_a_run_is_completed_with_its_doubts_which_are_looked_at_until_their_window_ends(
    begin: Callable[..., Doubtful],
) -> None:
    now = begin(doubt_window="1h")
    assert now.states() == (S.COMPLETED, S.COMPLETED)
    assert now.messages() == {"accepted": 3, "in_doubt": 1}
    assert runs_to_look_at(now.installation) == {}
    began, then, looks = now.installation.clock(), now, []
    while (moment := then.next_at()) is not None:
        looks.append(round((moment - began) / MINUTE))
        then = now.later(seconds=(moment - began).total_seconds())
        look(then)
    assert looks == [5, 10, 20, 40, 60]
    assert then.messages() == {"accepted": 3, "unknown": 1}
    assert then.states() == (S.COMPLETED, S.COMPLETED)
    assert len(then.provider.taken) == 3


def test_a_doubt_that_the_provider_shows_is_settled_and_nothing_is_left_to_look_at(
    begin: Callable[..., Doubtful], provider: Provider
) -> None:
    now = begin()
    provider.taken.append((1, 1))
    then = now.later(minutes=6)
    look(then)
    assert (then.messages(), then.next_at()) == ({"accepted": 4}, None)


def test_a_completed_run_goes_on_when_a_message_is_to_be_sent_once_more(
    begin: Callable[..., Doubtful], provider: Provider
) -> None:
    now = begin(**NEVER_LOSE)
    then = now.later(minutes=61)
    look(then)
    assert then.states() == (S.RUNNING, S.RUNNING)
    assert then.next_at() is None  # as soon as may be
    assert then.run().finished_at is None
    with reading(then.installation.engine) as connection:
        query = sa.select(state_changes).where(state_changes.c.subject == now.run_id)
        last = connection.execute(query.order_by(state_changes.c.change_id.desc())).first()
    assert last is not None
    assert (last.from_state, last.to_state, last.actor) == ("completed", "running", "dispatch")
    assert last.reason == "messages in doubt are sent once more"
    provider.answers = {}
    then.send()
    settled = settle_run(then.installation, then.run_id)
    assert (settled.state, settled.sent_again, settled.arrived_twice) == (S.COMPLETED, 1, 0)
    (row,) = runs_overview(then.installation, "spring-sale")
    assert (row["sent_again"], row["arrived_twice"], row["accepted"]) == (1, 0, 4)
    assert then.states() == (S.COMPLETED, S.COMPLETED)
    assert then.messages() == {"accepted": 4}


def test_nothing_is_sent_once_more_while_the_campaign_is_paused(begin: Callable[..., Doubtful]) -> None:
    now = begin(**NEVER_LOSE)
    pause(now.installation, "spring-sale", actor="ann")
    then = now.later(minutes=61)
    look(then)
    assert then.messages() == {"accepted": 3, "in_doubt": 1}
    next_at = then.next_at()
    assert next_at is not None
    assert HOUR - SOON < next_at - then.installation.clock() <= HOUR
    resume(then.installation, "spring-sale", actor="ann")
    much_later = now.later(minutes=125)
    look(much_later)
    assert much_later.messages() == {"accepted": 3, "not_sent": 1}
    assert much_later.states()[1] == S.RUNNING


def test_of_a_cancelled_campaign_nothing_is_sent_once_more(begin: Callable[..., Doubtful]) -> None:
    now = begin(**NEVER_LOSE)
    cancel(now.installation, "spring-sale", actor="ann")
    then = now.later(minutes=61)
    look(then)
    assert then.messages() == {"accepted": 3, "unknown": 1}
    assert then.states() == (S.CANCELLED, S.COMPLETED)


@pytest.mark.parametrize("state", [S.PAUSED, S.CANCELLED, S.FAILED])
def test_what_a_stopped_run_leaves_behind_is_looked_at(settings: Settings, provider: Provider, state: RunState) -> None:
    now = Doubtful.begin(settings, provider, doubt_window="1h")
    now.send()
    with writing(now.installation.engine) as connection:
        move_run(connection, now.run_id, state, actor="test", at=now.installation.clock())
    look(now)
    assert runs_to_look_at(now.installation) == {}
    then = now.later(minutes=61)
    look(then)
    assert then.messages() == {"accepted": 3, "unknown": 1}
    assert (then.states()[1], then.next_at()) == (state, None)


def test_what_was_not_sent_by_a_person_s_word_is_sent_again(begin: Callable[..., Doubtful], provider: Provider) -> None:
    now = begin()
    word = {"actor": "ann", "reason": "the console shows nothing"}
    assert resolve_doubts(now.installation, "spring-sale", [now.message(1)], Outcome.NOT_SENT, **word) == {
        now.run_id: 1
    }
    assert now.states() == (S.RUNNING, S.RUNNING)
    assert now.next_at() is None
    with reading(now.installation.engine) as connection:
        log = connection.execute(sa.select(state_changes).where(state_changes.c.actor == "ann")).all()
    assert [(row.subject, row.to_state) for row in log] == [
        (now.run_id, "running"),
        ("spring-sale", "running"),
        (f"{now.run_id}:{now.message(1)}", "not_sent"),
    ]
    assert {row.reason for row in log} == {"the console shows nothing"}
    provider.answers = {}
    now.send()
    settled = settle_run(now.installation, now.run_id)
    assert (settled.state, settled.messages, settled.sent_again) == (S.COMPLETED, {"accepted": 4}, 1)


def test_a_person_ends_a_doubt_of_a_cancelled_run(settings: Settings, provider: Provider) -> None:
    now = Doubtful.begin(settings, provider)
    now.send()
    cancel(now.installation, "spring-sale", actor="ann")
    word = {"actor": "ann", "reason": "the console shows nothing"}
    resolve_doubts(now.installation, "spring-sale", [now.message(1)], Outcome.NOT_SENT, **word)
    assert now.messages() == {"accepted": 3, "cancelled": 1}
    assert now.states() == (S.CANCELLED, S.CANCELLED)
    assert now.next_at() is None


def test_a_person_is_refused_what_cannot_be(begin: Callable[..., Doubtful]) -> None:
    now = begin()
    word = {"actor": "ann", "reason": "so it is"}
    with pytest.raises(InvalidInput, match="no reason is given"):
        resolve_doubts(now.installation, "spring-sale", [now.message(1)], Outcome.ACCEPTED, actor="ann", reason=" ")
    with pytest.raises(NotFound, match=f"message {9:024x} is in no run"):
        resolve_doubts(now.installation, "spring-sale", [now.message(1), f"{9:024x}"], Outcome.ACCEPTED, **word)
    with pytest.raises(Refused, match="is not in doubt: the provider's answer says that it is accepted"):
        resolve_doubts(now.installation, "spring-sale", [now.message(0)], Outcome.NOT_SENT, **word)
    pause(now.installation, "spring-sale", actor="ann")
    with pytest.raises(Refused, match="cannot go on, so that nothing of it can be sent again"):
        resolve_doubts(now.installation, "spring-sale", [now.message(1)], Outcome.NOT_SENT, **word)
    assert now.messages() == {"accepted": 3, "in_doubt": 1}
    assert resolve_doubts(now.installation, "spring-sale", [now.message(1)], Outcome.REJECTED, **word)
    assert now.messages() == {"accepted": 3, "rejected": 1}


def test_a_word_can_be_said_of_whole_batches(begin: Callable[..., Doubtful], provider: Provider) -> None:
    provider.answers = dict.fromkeys(range(4), Kind.DELIVERY_UNKNOWN)
    now = begin()
    word = {"actor": "ann", "reason": "the request was refused"}
    changed = resolve_doubts(
        now.installation, "spring-sale", [now.message(0)], Outcome.REJECTED, whole_batches=True, **word
    )
    assert changed == {now.run_id: 2}
    assert now.messages() == {"rejected": 2, "in_doubt": 2}


def test_doubts_are_listed_by_ids_with_what_comes_next(begin: Callable[..., Doubtful], provider: Provider) -> None:
    now = begin(**NEVER_LOSE)
    (listed,) = list_doubts(now.installation, "spring-sale")
    (row,) = rows_of(listed, now.installation.clock())
    decided = f"{row['claimed'] + HOUR:%Y-%m-%d %H:%M} UTC"
    assert row["message"] == now.message(1)
    assert row["contact"] == f"{1 + 4096:024x}"
    assert (row["attempt"], row["repeat"], row["provider"], row["worker"]) == (1, False, "sendgrid", "w")
    assert (row["state"], row["code"], row["finding"]) == ("in_doubt", "delivery_unknown", "absent")
    assert row["asked"].startswith("1×, absent 20")
    assert row["then"] == f"sent once more {decided}"
    assert by_age(listed, now.installation.clock()) == {"in doubt since less than an hour": 1}
    assert by_age(listed, now.installation.clock() + 2 * HOUR) == {"in doubt since less than a day": 1}
    assert by_age(listed, now.installation.clock() + 30 * HOUR) == {"in doubt since longer": 1}
    assert summary_of(listed).select("code", "state", "messages").rows() == [("delivery_unknown", "in_doubt", 1)]
    assert "example.com" not in str(rows_of(listed, now.installation.clock()))

    then = now.later(minutes=61)
    settle_run(then.installation, then.run_id)
    then.send()
    (listed,) = list_doubts(then.installation, "spring-sale", then.run_id)
    (row,) = rows_of(listed, then.installation.clock())
    assert (row["attempt"], row["repeat"], row["asked"]) == (2, True, "not yet")
    assert row["then"] == f"left unknown {row['claimed'] + HOUR:%Y-%m-%d %H:%M} UTC"
    assert listed.resolved.rows() == [("sent once more", 1)]

    provider.capabilities = Capabilities(max_batch=1000)
    last = now.later(minutes=125)
    (row,) = rows_of(list_doubts(last.installation, "spring-sale")[0], last.installation.clock())
    assert (row["asked"], row["then"]) == ("cannot be asked", "left unknown at the next look")
    settle_run(last.installation, last.run_id)
    (listed,) = list_doubts(last.installation, "spring-sale")
    (row,) = rows_of(listed, last.installation.clock())
    assert row["state"] == "unknown"
    assert row["then"].endswith("; an event still settles it")
    assert by_age(listed, last.installation.clock()) == {"left unknown": 1}


def test_a_run_without_doubts_and_one_of_another_campaign_are_not_listed(
    begin: Callable[..., Doubtful], provider: Provider
) -> None:
    provider.answers = {}
    now = begin()
    assert list_doubts(now.installation, "spring-sale") == []
    with pytest.raises(NotFound, match="elsewhere--20260302t090000z is not a run of spring-sale"):
        list_doubts(now.installation, "spring-sale", "elsewhere--20260302t090000z")
    with pytest.raises(NotFound):
        list_doubts(now.installation, "gone")


def test_a_repeat_waits_in_the_list_until_its_campaign_is_resumed(begin: Callable[..., Doubtful]) -> None:
    now = begin(**NEVER_LOSE)
    pause(now.installation, "spring-sale", actor="ann")
    then = now.later(minutes=61)
    look(then)
    (listed,) = list_doubts(then.installation, "spring-sale")
    assert rows_of(listed, then.installation.clock())[0]["then"] == "sent once more when the campaign is resumed"


def test_it_is_the_same_on_postgresql(settings: Settings, provider: Provider, postgres_url: str) -> None:
    provider.answers = {1: Kind.DELIVERY_UNKNOWN, 2: Kind.DELIVERY_UNKNOWN, 3: Kind.THROTTLED}
    now = Doubtful.begin(settings.model_copy(update={"database_url": postgres_url}), provider, **NEVER_LOSE)
    now.send()
    provider.answers = {}
    now.send()  # 3, in a claim that names it
    settle_run(now.installation, now.run_id)
    assert (now.messages(), now.states()[1]) == ({"accepted": 2, "in_doubt": 2}, S.COMPLETED)
    word = {"actor": "ann", "reason": "the console shows nothing"}
    assert resolve_doubts(now.installation, "spring-sale", [now.message(1)], Outcome.NOT_SENT, **word)
    now.send()
    assert settle_run(now.installation, now.run_id).state == S.COMPLETED
    then = now.later(minutes=61)
    look(then)
    assert then.states()[1] == S.RUNNING
    then.send()
    settled = settle_run(then.installation, then.run_id)
    assert (settled.messages, settled.state, settled.sent_again) == ({"accepted": 4}, S.COMPLETED, 2)
    assert sorted(provider.taken) == [(0, 1), (1, 2), (2, 3), (3, 2)]
    (listed,) = list_doubts(then.installation, "spring-sale")
    assert sorted(listed.resolved.rows()) == [("resolved by a person", 1), ("sent once more", 1)]
    for installation in (now.installation, then.installation):
        installation.engine.dispose()
