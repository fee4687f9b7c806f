"""Frequency caps: which count, how they are said, and who is at one, by what the ledger holds of each message."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.caps import NEVER_LOSE, applying, at_cap, capped, forget, says
from campaign_pipeline.campaigns.sending_policy import Cap
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.tables import batch_outcomes, contacted, outcomes
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch import ledger
from tests.databases import sqlite_database

NOW = datetime(2026, 3, 9, 9, tzinfo=UTC)
RUN = "spring-sale--20260302t090000z"
DAY = timedelta(days=1)


def cap(at_most: int = 1, within: str = "7d", **fields: Any) -> Cap:
    return Cap.model_validate({"at_most": at_most, "within": within} | fields)


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[sa.Engine]:
    if request.param == "postgresql":
        yield request.getfixturevalue("postgres_engine")
        return
    engine = sqlite_database(tmp_path / "caps.db")
    yield engine
    engine.dispose()


def contact(engine: sa.Engine, *ages: timedelta, who: str = "ann", run: str = RUN, **fields: Any) -> None:
    """`who` was written to so long ago, each time by another run, of which the first is `run`."""
    given = {"contact_id": who, "message_no": 0, "batch_no": 0, "attempt": 1, "channel": "sms", "purpose": "marketing"}
    rows = [
        given | fields | {"run_id": run if n == 0 else f"other{n}--20260302t090000z", "at": NOW - age}
        for n, age in enumerate(ages)
    ]
    with writing(engine) as connection:
        connection.execute(sa.insert(contacted), rows)


def at(engine: sa.Engine, caps: Sequence[Cap], **fields: Any) -> dict[str, Cap]:
    with engine.connect() as connection:
        return dict(at_cap(connection, caps, NOW, **fields))


def test_a_cap_is_said_in_few_words() -> None:
    assert says(cap(3)) == "3 within 7d"
    assert says(cap(2, "24h", channel="sms")) == "2 sms within 1d"
    assert says(cap(1, "90m", purposes=["news", "offers"])) == "1 within 90m for news, offers"
    assert says(cap(1, "36h")) == "1 within 36h"


def test_a_cap_applies_to_its_channel_and_purposes() -> None:
    every, sms, news = cap(), cap(channel="sms"), cap(purposes=["news"])
    assert applying([every, sms, news], Channel.SMS, "news") == (every, sms, news)
    assert applying([every, sms, news], Channel.EMAIL, "marketing") == (every,)
    assert applying([], Channel.SMS, "news") == ()


def test_the_window_is_half_open(db: sa.Engine) -> None:
    contact(db, 7 * DAY, who="out")
    contact(db, 7 * DAY - timedelta(microseconds=1), who="in")
    contact(db, -DAY, who="by-a-clock-ahead")
    assert set(at(db, [cap()])) == {"in", "by-a-clock-ahead"}


def test_messages_count_across_runs_by_channel_and_purpose(db: sa.Engine) -> None:
    contact(db, DAY, who="ann")
    contact(db, 2 * DAY, who="ann", run="other--20260302t090000z", channel="email", purpose="news")
    two, sms, news = cap(2), cap(1, channel="sms"), cap(1, purposes=["news", "offers"])
    assert at(db, [two]) == {"ann": two}
    assert at(db, [cap(3)]) == {}
    assert at(db, [cap(2, channel="sms"), news]) == {"ann": news}
    assert at(db, [sms, news]) == {"ann": sms}  # the first that holds
    assert at(db, [two], but_run=RUN) == {}
    assert at(db, [two], among=["bob"]) == {}
    assert at(db, [two], among=["bob", "ann"]) == {"ann": two}
    assert at(db, []) == {}


OF_MESSAGE = [
    # (source, outcome, attempt) of the message; those of its batch; whether the message counts
    ([], [], True),  # claimed: in doubt
    ([("send", "accepted", 1)], [], True),
    ([("send", "in_doubt", 1)], [], True),
    ([("send", "in_doubt", 1), ("policy", "unknown", 1)], [], True),
    ([("send", "rejected", 1)], [], False),
    ([("send", "not_sent", 1)], [], False),
    ([("send", "throttled", 1)], [], False),
    ([("policy", "suppressed", 1)], [], False),
    ([("send", "not_sent", 1), ("event", "accepted", 1)], [], True),  # proof beats opinion
    ([("send", "in_doubt", 1), ("operator", "not_sent", 1)], [], False),
    ([("send", "in_doubt", 1), ("policy", "not_sent", 1, NEVER_LOSE)], [], True),  # it may be sent once more
    ([("send", "in_doubt", 1), ("policy", "unknown", 1), ("operator", "not_sent", 1)], [], False),
    ([("policy", "not_sent", 1, "quiet_hours")], [], False),  # held back for now
    ([], [("send", "accepted", 1)], True),
    ([], [("send", "not_sent", 1)], False),
    ([("send", "in_doubt", 1)], [("send", "rejected", 1)], True),  # its own row counts
    ([("send", "rejected", 1)], [("send", "accepted", 1)], False),
    ([("send", "not_sent", 2)], [], True),  # of another attempt: this one is in doubt
    ([("policy", "not_sent", 0), ("send", "rejected", 1)], [], False),  # a fallback that was called up
]


@pytest.mark.parametrize(("own", "of_batch", "counts"), OF_MESSAGE)
def test_only_what_was_certainly_not_processed_does_not_count(
    db: sa.Engine, own: list[Any], of_batch: list[Any], counts: bool
) -> None:
    contact(db, DAY)
    names = "source", "outcome", "attempt", "code"
    given = {"run_id": RUN, "code": "", "provider_id": "", "recorded_at": NOW}
    with writing(db) as connection:
        for row in own:
            connection.execute(
                sa.insert(outcomes).values(given | {"message_no": 0} | dict(zip(names, row, strict=False)))
            )
        for row in of_batch:
            connection.execute(
                sa.insert(batch_outcomes).values(given | {"batch_no": 0} | dict(zip(names, row, strict=False)))
            )
    assert (at(db, [cap()]) != {}) is counts


def test_what_the_ledger_writes_is_known_here() -> None:
    assert NEVER_LOSE == ledger.NEVER_LOSE


def test_who_was_held_back_and_then_refused_does_not_count(db: sa.Engine) -> None:
    contact(db, DAY, attempt=2)
    with writing(db) as connection:
        for source, outcome, attempt in [("policy", "not_sent", 1), ("send", "rejected", 2)]:
            row = {"run_id": RUN, "message_no": 0, "attempt": attempt, "source": source, "outcome": outcome}
            connection.execute(sa.insert(outcomes).values(row | {"recorded_at": NOW}))
    assert at(db, [cap()]) == {}


def test_an_earlier_attempt_that_was_processed_after_all_counts(db: sa.Engine) -> None:
    contact(db, DAY, attempt=2)
    with writing(db) as connection:
        for source, outcome, attempt in [("send", "not_sent", 1), ("event", "accepted", 1), ("send", "rejected", 2)]:
            row = {"run_id": RUN, "message_no": 0, "attempt": attempt, "source": source, "outcome": outcome}
            connection.execute(sa.insert(outcomes).values(row | {"recorded_at": NOW}))
    assert set(at(db, [cap()])) == {"ann"}


def test_the_capped_are_a_frame_with_reasons(db: sa.Engine) -> None:
    contact(db, DAY, DAY, who="ann")
    contact(db, DAY, who="bob")
    with db.connect() as connection:
        found = capped(connection, [cap(2), cap(1, "2d")], NOW)
        assert sorted(found.rows()) == [("ann", "2 within 7d"), ("bob", "1 within 2d")]
        assert capped(connection, [], NOW).rows() == []


def test_what_no_cap_counts_any_more_is_deleted(db: sa.Engine) -> None:
    contact(db, 3 * DAY, 7 * DAY, 8 * DAY)
    with writing(db) as connection:
        assert forget(connection, [], NOW) == 0
        assert forget(connection, [cap(1, "1d"), cap(5, "7d")], NOW) == 2
        left = connection.execute(sa.select(contacted.c.at)).scalars().all()
    assert left == [NOW - 3 * DAY]
