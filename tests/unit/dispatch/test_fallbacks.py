"""Fallback channels: called up only when the channel before certainly did not reach the contact; never two."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Channel, Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.fallbacks import Advanced, advance, falls_back
from campaign_pipeline.dispatch.ledger import OutcomeRow, Source
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.states import states
from campaign_pipeline.dispatch.worker import send_due

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=24)
CONTACTS = 4
IDS = [f"{number:024x}" for number in range(3 * CONTACTS)]


@pytest.fixture
def planned(plan: Callable[..., None]) -> None:
    """Four contacts, each with a message by WhatsApp (0-3), one by SMS (4-7) and one by e-mail (8-11)."""
    numbers = range(3 * CONTACTS)
    plan(
        len(numbers),
        1,
        batch_no=pl.Series([0] * CONTACTS + [n - CONTACTS + 1 for n in numbers[CONTACTS:]], dtype=pl.Int32),
        contact_id=[f"{number % CONTACTS:024x}" for number in numbers],
        channel=["whatsapp"] * CONTACTS + ["sms"] * CONTACTS + ["email"] * CONTACTS,
        step=pl.Series([number // CONTACTS for number in numbers], dtype=pl.Int16),
    )


@pytest.fixture
def send(db: sa.Engine, lake: Lake, channel: Any, planned: None) -> Callable[..., dict[Outcome, int]]:
    def call(name: Channel, **options: Any) -> dict[Outcome, int]:
        channel.name = name
        return dict(send_due(db, lake, RUN, channel, worker="w", clock=lambda: NOW, **options).outcomes)

    return call


def by_message(db: sa.Engine, lake: Lake) -> list[str]:
    with reading(db) as connection:
        return states(BatchFile(lake, RUN).index(), ledger.read_ledger(connection, RUN))["state"].to_list()


def test_nobody_is_sent_to_by_another_channel_before_the_first_has_failed(
    send: Callable[..., Any], db: sa.Engine, lake: Lake, channel: Any
) -> None:
    assert send(Channel.SMS) == {}
    assert send(Channel.WHATSAPP) == {Outcome.ACCEPTED: 4}
    assert advance(db, lake, RUN, now=NOW, until=UNTIL) == Advanced(0, 0)
    assert send(Channel.SMS) == send(Channel.EMAIL) == {}
    assert account(db, lake, RUN).messages == {"accepted": 4, "standby": 8}
    assert len(channel.processed) == 4


def test_each_gets_the_next_channel_when_the_one_before_could_not_reach_it(
    send: Callable[..., Any], db: sa.Engine, lake: Lake, channel: Any
) -> None:
    refusals = {0: "63024", 1: "21610", 2: "63016"}
    channel.answers = lambda message, _attempt: {0: Kind.NO_WHATSAPP, 1: Kind.OPTED_OUT, 2: Kind.SESSION_CLOSED}.get(
        message.message_no, Kind.ACCEPTED
    )
    channel.code = lambda message: refusals.get(message.message_no, "")
    assert send(Channel.WHATSAPP) == {Outcome.REJECTED: 3, Outcome.ACCEPTED: 1}
    # 0 and 2 are called for; who wants silence (1) is left alone, on every channel.
    assert advance(db, lake, RUN, now=NOW, until=UNTIL) == Advanced(2, 1)
    assert advance(db, lake, RUN, now=NOW, until=UNTIL) == Advanced(0, 1)  # what stands by after 1's SMS
    channel.answers = lambda message, _attempt: Kind.HARD_ADDRESS if message.message_no == 4 else Kind.ACCEPTED
    channel.code = lambda message: "21211" if message.message_no == 4 else ""
    assert send(Channel.SMS) == {Outcome.REJECTED: 1, Outcome.ACCEPTED: 1}
    assert advance(db, lake, RUN, now=NOW, until=UNTIL, reached={IDS[3]}) == Advanced(1, 1)
    assert send(Channel.EMAIL) == {Outcome.ACCEPTED: 1}
    assert sorted(number for number, _ in channel.processed) == [3, 6, 8]
    assert by_message(db, lake) == [
        *("rejected", "rejected", "rejected", "accepted"),
        *("rejected", "not_needed", "accepted", "not_needed"),
        *("accepted", "not_needed", "standby", "standby"),
    ]
    # In the end everything is somewhere for good.
    advance(db, lake, RUN, now=UNTIL + timedelta(seconds=1), until=UNTIL)
    advance(db, lake, RUN, now=UNTIL + timedelta(seconds=1), until=UNTIL)
    assert account(db, lake, RUN).messages == {"accepted": 3, "rejected": 4, "not_needed": 5}


def test_a_delivery_that_failed_later_calls_for_the_next_channel_and_wakes_the_run(
    send: Callable[..., Any], db: sa.Engine, lake: Lake
) -> None:
    send(Channel.WHATSAPP)
    with db.begin() as connection:
        connection.execute(sa.update(runs).values(next_wave_at=UNTIL))
    failed = {IDS[0]: "no_whatsapp:63024", IDS[1]: "filtered:30007", IDS[2]: "hard:30005"}
    assert advance(db, lake, RUN, now=NOW, until=UNTIL, failed=failed) == Advanced(2, 1)
    with reading(db) as connection:
        assert connection.execute(sa.select(runs.c.next_wave_at)).scalar_one() is None
    assert send(Channel.SMS) == {Outcome.ACCEPTED: 2}
    assert advance(db, lake, RUN, now=NOW, until=UNTIL, failed=failed) == Advanced(0, 1)


def test_while_a_message_is_in_doubt_no_other_channel_is_tried(
    send: Callable[..., Any], db: sa.Engine, lake: Lake, channel: Any
) -> None:
    channel.answers = lambda _message, _attempt: Kind.NO_ANSWER
    assert send(Channel.WHATSAPP) == {Outcome.IN_DOUBT: 4}
    assert advance(db, lake, RUN, now=UNTIL + timedelta(days=1), until=UNTIL) == Advanced(0, 0)
    unknown = [OutcomeRow(RUN, n, 1, Source.POLICY, Outcome.UNKNOWN, "window_passed", "", NOW) for n in range(4)]
    ledger.append_outcomes(db, unknown)
    assert advance(db, lake, RUN, now=NOW, until=UNTIL) == Advanced(0, 4)
    assert send(Channel.SMS) == {}


def test_cancelling_ends_what_stands_by(send: Callable[..., Any], db: sa.Engine, lake: Lake) -> None:
    send(Channel.WHATSAPP)
    assert send(Channel.SMS, stopped=lambda: RunState.CANCELLED) == {Outcome.CANCELLED: 8}
    assert account(db, lake, RUN).messages == {"accepted": 4, "cancelled": 8}


def test_after_the_window_nothing_is_called_up(send: Callable[..., Any], db: sa.Engine, lake: Lake) -> None:
    send(Channel.WHATSAPP)
    late = UNTIL + timedelta(seconds=1)
    failed = {IDS[0]: "no_whatsapp:63024"}
    assert advance(db, lake, RUN, now=late, until=UNTIL, failed=failed) == Advanced(0, 4)
    assert advance(db, lake, RUN, now=late, until=UNTIL) == Advanced(0, 4)
    assert account(db, lake, RUN).messages == {"accepted": 4, "not_needed": 8}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *(("63003", True), ("63024", True), ("63049", True), ("63016", True), ("21211", True), ("21612", True)),
        *(("session_closed", True), ("whatsapp_us_marketing", True)),
        *(("21610", False), ("30007", False), ("suppressed", False), ("frequency_cap", False), ("99999", False)),
        *(("http_400", False), ("", False), ("expired", False)),
    ],
)
def test_which_refusals_call_for_another_channel(code: str, expected: bool) -> None:
    assert falls_back(code) is expected
