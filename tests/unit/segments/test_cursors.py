"""Consumers of who entered and left: nothing is missed, nothing is told twice once it was done with."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import segment_cursors
from campaign_pipeline.segments.cursors import Changes, advance, changes_for, cursor
from campaign_pipeline.segments.evaluations import Evaluation, last_evaluation
from campaign_pipeline.segments.membership import Found, keep

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue("engine" if request.param == "sqlite" else "postgres_engine")


def evaluate(database: sa.Engine, lake: Lake, who: str, at: datetime, rule: str = "one") -> Evaluation:
    members = pl.DataFrame({"contact_id": list(who)}, schema={"contact_id": pl.String})
    with reading(database) as connection:
        last = last_evaluation(connection, "vips")
    return keep(database, lake, Found("vips", rule, at, members, evaluated_at=at), last)


def read(database: sa.Engine, lake: Lake, consumer: str = "crm", **how: bool) -> Changes:
    with writing(database) as connection:
        return changes_for(connection, lake, consumer, "vips", MONDAY, **how)


def told(changes: Changes) -> list[tuple[str, str]]:
    return [(row["contact_id"], row["change"]) for row in changes.changes.to_dicts()]


def done(database: sa.Engine, changes: Changes) -> int:
    with writing(database) as connection:
        return advance(connection, changes.consumer, changes.segment, changes.up_to, MONDAY)


def test_a_new_consumer_starts_now_and_misses_nothing_after(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "ab", MONDAY)
    evaluate(database, lake, "bc", MONDAY + DAY)
    assert told(read(database, lake)) == []
    evaluate(database, lake, "bd", MONDAY + 2 * DAY)
    evaluate(database, lake, "bde", MONDAY + 3 * DAY)
    assert told(read(database, lake)) == [("c", "left"), ("d", "entered"), ("e", "entered")]


def test_a_new_consumer_can_start_at_the_beginning(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "ab", MONDAY)
    evaluate(database, lake, "bc", MONDAY + DAY)
    changes = read(database, lake, from_beginning=True)
    assert told(changes) == [("a", "left"), ("c", "entered")]
    assert changes.rebaselines == [first]
    whole = read(database, lake, from_beginning=True, rebaselines=True)
    assert told(whole) == [("a", "entered"), ("b", "entered"), ("a", "left"), ("c", "entered")]
    done(database, whole)
    assert told(read(database, lake, from_beginning=True)) == []  # it is not new any more


def test_the_same_is_told_until_the_consumer_advances(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "a", MONDAY)
    read(database, lake)
    second = evaluate(database, lake, "b", MONDAY + DAY)
    once, again = read(database, lake), read(database, lake)
    assert once.changes.equals(again.changes)
    assert once.changes["change_key"].to_list() == [f"{second.partition}/a", f"{second.partition}/b"]
    assert once.changes.select("entered_at", "left_at", "evaluation_id").rows() == [
        (MONDAY, MONDAY + DAY, second.evaluation_id),
        (MONDAY + DAY, None, second.evaluation_id),
    ]
    assert done(database, once) == second.evaluation_id
    assert told(read(database, lake)) == []


def test_a_changed_rule_fires_nothing_but_is_spoken_of(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "ab", MONDAY)
    read(database, lake)
    changed = evaluate(database, lake, "bc", MONDAY + DAY, rule="two")
    evaluate(database, lake, "bd", MONDAY + 2 * DAY, rule="two")
    changes = read(database, lake)
    assert told(changes) == [("c", "left"), ("d", "entered")]
    assert changes.rebaselines == [changed]
    assert (changed.entered, changed.left) == (1, 1)
    assert told(read(database, lake, rebaselines=True))[:2] == [("a", "left"), ("c", "entered")]


def test_a_cursor_never_moves_backwards_nor_ahead(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "a", MONDAY)
    early = read(database, lake)
    second = evaluate(database, lake, "b", MONDAY + DAY)
    assert done(database, read(database, lake)) == second.evaluation_id
    assert early.up_to == first.evaluation_id
    assert done(database, early) == second.evaluation_id  # a repeat that comes late
    with writing(database) as connection, pytest.raises(InvalidInput, match="does not exist yet"):
        advance(connection, "crm", "vips", second.evaluation_id + 1, MONDAY)
    with reading(database) as connection:
        assert cursor(connection, "crm", "vips") == second.evaluation_id


def test_consumers_do_not_disturb_each_other(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "a", MONDAY)
    read(database, lake, "crm")
    read(database, lake, "ads")
    evaluate(database, lake, "ab", MONDAY + DAY)
    done(database, read(database, lake, "crm"))
    assert told(read(database, lake, "crm")) == []
    assert told(read(database, lake, "ads")) == [("b", "entered")]
    with reading(database) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(segment_cursors)).scalar_one() == 2


def test_what_is_not_there_is_said(database: sa.Engine, lake: Lake) -> None:
    with pytest.raises(NotFound, match="segment 'vips' was not evaluated yet"):
        read(database, lake)
    evaluate(database, lake, "a", MONDAY)
    with reading(database) as connection, pytest.raises(NotFound, match="consumer 'crm' has no cursor"):
        cursor(connection, "crm", "vips")
    with pytest.raises(InvalidInput, match="consumer name 'C R M' is not usable"):
        read(database, lake, "C R M")


HISTORIES = st.lists(
    st.tuples(st.sets(st.sampled_from("abcde")), st.sampled_from(["read", "read and advance", "read, advance late"])),
    min_size=1,
    max_size=8,
)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=HISTORIES)
def test_by_the_keys_every_change_is_done_once(
    engine: sa.Engine, lake: Lake, steps: list[tuple[set[str], str]]
) -> None:
    """A consumer that remembers keys knows the members, wherever it breaks off between doing and advancing."""
    with reading(engine) as connection:
        last = last_evaluation(connection, "vips")
    at = (last.as_of if last else MONDAY) + DAY
    evaluate(engine, lake, "", at)  # examples share the database: each begins with nobody, and a consumer of its own
    consumer = f"c{at:%Y%m%d}"
    read(engine, lake, consumer)
    seen: set[str] = set()
    members: set[str] = set()
    for number, (who, how) in enumerate(steps, start=1):
        evaluate(engine, lake, "".join(who), at + number * DAY)
        changes = read(engine, lake, consumer)
        for key, contact, change in changes.changes.select("change_key", "contact_id", "change").rows():
            if key not in seen:
                seen.add(key)
                assert (contact in members) == (change == "left")
                members ^= {contact}
        assert members == who
        if how == "read and advance":
            done(engine, changes)
