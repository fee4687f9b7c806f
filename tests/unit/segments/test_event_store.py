"""The event store: built from the lake, extended, never read when it is old, and dropped."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest

from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments import event_store, feature_rows
from campaign_pipeline.segments.catalogue import read_catalogue
from campaign_pipeline.segments.compiler import compiler
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import explain, members, preview
from campaign_pipeline.segments.event_store import build_features, current_store, drop_features
from campaign_pipeline.segments.features import DEPTH
from campaign_pipeline.segments.session import open_session

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
TIME = pl.Datetime("us", "UTC")
EVENTS = {**dict.fromkeys(("event_id", "contact_id", "event"), pl.String), "occurred_at": TIME, "properties": pl.String}


def write_contacts(lake: Lake, names: str, country: str = "DE") -> None:
    rows = {"contact_id": sorted(names), "country": [country] * len(names)}
    lake.write(pl.DataFrame(rows), "contact_snapshot")


def write_events(lake: Lake, name: str, *events: tuple[str, str, datetime], **properties: Any) -> None:
    rows = [(f"{name}-{n}", *event, json.dumps(properties)) for n, event in enumerate(events)]
    lake.write(pl.DataFrame(rows, EVENTS, orient="row"), "behaviour", name)


@pytest.fixture
def small(lake: Lake) -> Lake:
    write_contacts(lake, "abc")
    write_events(lake, "one", ("a", "visit", AS_OF - 9 * DAY), ("a", "visit", AS_OF - DAY), ("x", "visit", AS_OF - DAY))
    return lake


def who(lake: Lake, where: dict[str, Any]) -> list[str]:
    """By the store, which has to be there, and the same without it."""
    segment = Segment.model_validate({"segment": "s", "where": where})
    with open_session(lake) as fast, open_session(lake, use_store=False) as plain:
        assert fast.has_store
        found = members(fast, segment, {}, AS_OF)["contact_id"].to_list()
        assert found == members(plain, segment, {}, AS_OF)["contact_id"].to_list()
        assert preview(fast, segment, {}, AS_OF) == preview(plain, segment, {}, AS_OF)
    return found


VISITED = {"did": {"event": "visit"}}


def test_a_store_holds_contacts_events_and_features(small: Lake) -> None:
    built = build_features(small)
    assert (built.contacts, built.events, built.events_added, built.names_with_features) == (3, 3, 3, 1)
    assert built.path == current_store(small)
    with duckdb.connect(str(built.path), read_only=True) as connection:
        names = '"contact:no", contact_id, country, "did:0:count", "did:0:first", "did:0:last1", "did:0:last2"'
        rows = connection.execute(f"SELECT {names} FROM contact_snapshot ORDER BY 1").fetchall()
    # Seconds since a second before the first event.
    assert rows == [
        (0, "a", "DE", 2, 1, 8 * 86_400 + 1, 1),
        (1, "b", "DE", 0, 0, 0, 0),
        (2, "c", "DE", 0, 0, 0, 0),
    ]
    assert who(small, VISITED) == ["a"]
    assert who(small, {"did": {"event": "visit", "count": {"eq": 0}}}) == ["b", "c"]


def test_building_again_reads_nothing(small: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_features(small)
    monkeypatch.setattr(event_store, "_write", None)
    again = build_features(small)
    assert (again.path, again.events, again.events_added) == (first.path, 3, 0)


def test_an_old_store_is_not_read(small: Lake) -> None:
    build_features(small)
    write_events(small, "two", ("b", "visit", AS_OF - DAY))
    assert current_store(small) is None
    with open_session(small) as session:
        assert not session.has_store
        segment = Segment.model_validate({"segment": "s", "where": VISITED})
        assert members(session, segment, {}, AS_OF)["contact_id"].to_list() == ["a", "b"]


def test_a_store_is_extended_by_new_files_and_contacts(small: Lake) -> None:
    first = build_features(small)
    write_events(small, "two", ("b", "visit", AS_OF - DAY), ("y", "buy", AS_OF - 20 * DAY), amount=5)
    write_contacts(small, "acxy", country="AT")  # b is gone; x and y, of whom events were known, are there
    second = build_features(small)
    assert (second.contacts, second.events, second.events_added) == (4, 5, 2)
    assert not first.path.exists()
    assert who(small, VISITED) == ["a", "x"]
    assert who(small, {"did": {"event": "buy", "within": "21d"}}) == ["y"]
    assert who(small, {"did": {"event": "buy", "where": [{"prop": "amount", "eq": 5}]}}) == ["y"]
    assert who(small, {"not": VISITED}) == ["c", "y"]
    assert who(small, {"trait": {"field": "country", "eq": "AT"}}) == ["a", "c", "x", "y"]
    segment = Segment.model_validate({"segment": "s", "where": VISITED})
    with open_session(small) as session:
        explained = explain(session, segment, {}, AS_OF, "x")
    assert (explained.contact_id, explained.is_member) == ("x", True)
    assert explained.lines[0].evidence["count"] == 1


def test_a_behaviour_file_that_was_replaced_or_removed_is_not_left_in_the_store(small: Lake) -> None:
    write_events(small, "two", ("b", "visit", AS_OF - DAY))
    build_features(small)
    write_events(small, "two", ("c", "visit", AS_OF - DAY), ("c", "visit", AS_OF - DAY))
    assert build_features(small).events_added == 5
    assert who(small, VISITED) == ["a", "c"]
    small.path("behaviour", "two").unlink()
    assert build_features(small).events == 3
    assert who(small, VISITED) == ["a"]


def test_features_of_many_pieces_and_more_names_than_fit(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_rows, "BLOCK", 2)
    monkeypatch.setattr(feature_rows, "EVENTS_AT_ONCE", 7)
    monkeypatch.setattr(feature_rows, "MAX_NAMES", 2)
    write_contacts(lake, "abcdefghij")
    often = [(name, "visit", AS_OF - n * DAY) for name in "bcdi" for n in range(1, DEPTH + 4)]
    some = [(name, "buy", AS_OF - n * DAY) for name in "aj" for n in range(1, 4)]
    write_events(lake, "one", *often, *some, ("e", "rare", AS_OF - DAY))
    assert build_features(lake).names_with_features == 2
    assert who(lake, {"did": {"event": "visit", "count": {"gte": DEPTH}, "within": f"{DEPTH}d"}}) == list("bcdi")
    assert who(lake, {"did": {"event": "visit", "count": {"gt": DEPTH}, "within": f"{DEPTH}d"}}) == []
    assert who(lake, {"did": {"event": "visit", "count": {"eq": DEPTH + 1}, "within": f"{DEPTH + 1}d"}}) == list("bcdi")
    assert who(lake, {"did": {"event": "buy", "count": {"between": [3, 4]}}}) == ["a", "j"]
    assert who(lake, {"did": {"event": "rare"}}) == ["e"]


def test_features_answer_only_what_they_know_exactly(small: Lake) -> None:
    write_events(small, "two", ("b", "late", AS_OF), ("b", "buy", AS_OF - DAY))
    build_features(small)
    with open_session(small) as session:
        features = session.tables.features
        assert features is not None

        def known(event: str, times: int, start: datetime | None, end: datetime = AS_OF) -> bool:
            return features.at_least(event, times, start, end) is not None

        assert known("visit", 1, None)
        assert known("visit", DEPTH + 5, None)
        assert known("visit", DEPTH, AS_OF - DAY)
        assert not known("visit", DEPTH + 1, AS_OF - DAY), "only so many times are kept"
        assert not known("visit", 1, AS_OF - timedelta(microseconds=1)), "times are whole seconds"
        assert not known("visit", 1, None, AS_OF - DAY), "an event is at the end of the window"
        assert known("visit", 1, None, AS_OF - DAY + timedelta(microseconds=1))
        assert not known("late", 1, None)
        assert not known("never", 1, None)


def test_a_question_that_features_answer_does_not_read_events(small: Lake) -> None:
    build_features(small)
    segment = Segment.model_validate(
        {"segment": "s", "where": {"all": [VISITED, {"not": {"did": {"event": "visit", "within": "2d"}}}]}}
    )
    with open_session(small) as session:
        compiled = compiler(segment, {}, session.catalogue, session.tables, AS_OF)
        text, _ = duckdb_sql(compiled.members(segment))
    assert "behaviour" not in text


def test_the_catalogue_of_a_store_is_that_of_the_files(small: Lake) -> None:
    write_events(small, "two", ("b", "buy", AS_OF - DAY), amount=5, note=None, tags=[1], gift=True)
    write_events(small, "three", ("b", "buy", AS_OF - DAY), amount="five")
    build_features(small)
    with open_session(small) as session:
        assert session.has_store
        assert session.catalogue.events == read_catalogue(small).events


def test_dropped_stores_are_gone_and_answers_stay(small: Lake) -> None:
    build_features(small)
    assert drop_features(small) == 1
    assert list((small.root / "segment_features").iterdir()) == []
    assert drop_features(small) == 0
    assert members(small, Segment.model_validate({"segment": "s", "where": VISITED}), {}, AS_OF).height == 1


def test_an_open_session_keeps_its_store_when_that_is_dropped(small: Lake) -> None:
    build_features(small)
    segment = Segment.model_validate({"segment": "s", "where": VISITED})
    with open_session(small) as session:
        drop_features(small)
        write_contacts(small, "z")
        assert members(session, segment, {}, AS_OF)["contact_id"].to_list() == ["a"]


def test_a_store_that_is_dropped_while_it_is_built_does_not_come_back(
    small: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = feature_rows.write

    def dropped(connection: duckdb.DuckDBPyConnection, snapshot: str) -> None:
        write(connection, snapshot)
        drop_features(small)

    monkeypatch.setattr(feature_rows, "write", dropped)
    with pytest.raises(Refused, match="dropped while they were built"):
        build_features(small)
    assert list((small.root / "segment_features").iterdir()) == []


def test_contacts_that_change_while_a_store_is_built_make_it_worthless(
    small: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = feature_rows.write

    def changed(connection: duckdb.DuckDBPyConnection, snapshot: str) -> None:
        write(connection, snapshot)
        write_contacts(small, "abcd")

    monkeypatch.setattr(feature_rows, "write", changed)
    with pytest.raises(Refused, match="changed while their features were built"):
        build_features(small)
    assert list((small.root / "segment_features").iterdir()) == []


def test_a_file_that_is_no_store_is_replaced(small: Lake) -> None:
    other = small.root / "segment_features" / "0123.duckdb"
    other.parent.mkdir(parents=True)
    other.write_text("not a database")
    assert build_features(small).events_added == 3
    assert not other.exists()


def test_without_contacts_there_is_no_store(lake: Lake) -> None:
    with pytest.raises(NotFound, match="there is no contact snapshot"):
        build_features(lake)
    assert current_store(lake) is None


def test_without_events_contacts_are_in_the_store(lake: Lake) -> None:
    write_contacts(lake, "ab")
    assert build_features(lake).contacts == 2
    assert who(lake, {"trait": {"field": "country", "eq": "DE"}}) == ["a", "b"]


def test_events_that_lie_further_apart_than_features_reach(small: Lake) -> None:
    write_events(small, "old", ("b", "visit", datetime(1880, 1, 1, tzinfo=UTC)))
    assert build_features(small).names_with_features == 0
    assert who(small, VISITED) == ["a", "b"]


def test_events_before_1970_have_features(lake: Lake) -> None:
    write_contacts(lake, "ab")
    old = datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)
    write_events(lake, "one", ("a", "visit", old), ("b", "visit", old + timedelta(seconds=1)))
    assert build_features(lake).names_with_features == 1
    assert who(lake, {"did": {"event": "visit", "since": "1969-12-31T23:59:59Z"}}) == ["b"]


def test_two_builds_at_once_and_readers_meanwhile(small: Lake) -> None:
    segment = Segment.model_validate({"segment": "s", "where": VISITED})
    with ThreadPoolExecutor(5) as pool:
        builds = [pool.submit(build_features, small) for _ in range(2)]
        found = [pool.submit(members, small, segment, {}, AS_OF) for _ in range(3)]
        assert [build.result().events for build in builds] == [3, 3]
        assert [each.result()["contact_id"].to_list() for each in found] == [["a"]] * 3
    assert who(small, VISITED) == ["a"]
    assert [path.suffix for path in (small.root / "segment_features").iterdir()] == [".duckdb"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM '{snapshot}'",
        "ATTACH '/tmp/segment-test-must-not-exist'",
        "INSERT INTO store.people VALUES (9, 'z')",
        "SET enable_external_access = true",
    ],
)
def test_a_session_on_a_store_reads_nothing_else_and_writes_nothing(small: Lake, statement: str) -> None:
    build_features(small)
    with open_session(small) as session:
        assert session.connection.sql("SELECT count(*) FROM behaviour").fetchall() == [(3,)]
        with pytest.raises(duckdb.Error):
            session.connection.execute(statement.format(snapshot=small.path("contact_snapshot"))).fetchall()


def test_a_session_on_files_that_are_replaced_says_so(small: Lake) -> None:
    segment = Segment.model_validate({"segment": "s", "where": VISITED})
    with open_session(small) as session:
        preview(session, segment, {}, AS_OF)
        write_contacts(small, "za")
        other = Segment.model_validate({"segment": "s", "where": {"did": {"event": "visit", "within": "2d"}}})
        with pytest.raises(Refused, match="were written while they were read"):
            preview(session, other, {}, AS_OF)


def test_a_broken_build_leaves_nothing(small: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(feature_rows, "write", broken)
    with pytest.raises(RuntimeError, match="no disk"):
        build_features(small)
    assert list((small.root / "segment_features").iterdir()) == []
