"""Members and previews over a small lake: meaning, clear errors, and a locked-down database."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest

from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import Kind, read_catalogue
from campaign_pipeline.segments.compiler import compiler, lake_tables
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import members, open_lake, preview
from campaign_pipeline.segments.preview import PreviewLine

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
EVENT_SCHEMA = {
    "event_id": pl.String,
    "contact_id": pl.String,
    "event": pl.String,
    "occurred_at": TIME,
    "properties": pl.String,
}


def write_contacts(lake: Lake) -> None:
    contacts = {
        "contact_id": ["a", "b", "c", "d"],
        "country": ["DE", "AT", "US", None],
        "loyalty_points": [10, 20, None, 40],
        "vip": [True, False, None, True],
        "created_at": [AS_OF - timedelta(days=days) for days in (1, 2, 3, 4)],
    }
    lake.write(pl.DataFrame(contacts, schema_overrides={"created_at": TIME}), "contact_snapshot")


def write_events(lake: Lake, *events: tuple[str, str, datetime, dict[str, Any]], name: str = "one") -> None:
    rows = [(f"{name}-{n}", who, what, when, json.dumps(how)) for n, (who, what, when, how) in enumerate(events)]
    lake.write(pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row"), "behaviour", name)


@pytest.fixture
def small(lake: Lake) -> Lake:
    write_contacts(lake)
    day = timedelta(days=1)
    write_events(
        lake,
        ("a", "purchase", AS_OF - 90 * day, {"amount": 60, "category": "shoes"}),
        ("a", "purchase", AS_OF - day, {"amount": 40.0, "category": "hats"}),
        ("b", "purchase", AS_OF - 91 * day, {"amount": 0.1}),
        ("b", "purchase", AS_OF - 91 * day, {"amount": 0.2}),
        ("c", "purchase", AS_OF, {"amount": 1000, "gift": True}),
        ("c", "visit", AS_OF - day, {}),
        ("nobody", "purchase", AS_OF - day, {"amount": 5}),
    )
    return lake


def who(lake: Lake, where: dict[str, Any], library: dict[str, Segment] | None = None, **more: Any) -> list[str]:
    segment = Segment.model_validate({"segment": "s", "where": where, **more})
    return members(lake, segment, library or {}, AS_OF)["contact_id"].to_list()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"trait": {"field": "country", "eq": "DE"}}, ["a"]),
        ({"trait": {"field": "country", "ne": "DE"}}, ["b", "c"]),
        ({"not": {"trait": {"field": "country", "eq": "DE"}}}, ["b", "c", "d"]),
        ({"trait": {"field": "loyalty_points", "gt": 19.5}}, ["b", "d"]),
        ({"trait": {"field": "created_at", "gte": "2026-03-01"}}, ["a"]),
        ({"did": {"event": "purchase"}}, ["a", "b"]),
        ({"did": {"event": "purchase", "count": {"gte": 2}, "within": "90d"}}, ["a"]),
        ({"did": {"event": "purchase", "count": {"lte": 1}, "within": "90d"}}, ["b", "c", "d"]),
        ({"did": {"event": "purchase", "count": {"eq": 0}}}, ["c", "d"]),
        ({"did": {"event": "purchase", "sum": {"prop": "amount", "eq": 0.3}}}, ["b"]),
        ({"did": {"event": "purchase", "sum": {"prop": "amount", "lt": 1}}}, ["b"]),
        ({"did": {"event": "purchase", "count": {"gte": 0}, "sum": {"prop": "amount", "lt": 1}}}, ["b", "c", "d"]),
        ({"did": {"event": "purchase", "where": [{"prop": "category", "is_set": False}]}}, ["b"]),
    ],
)
def test_members_are_those_the_definition_says(small: Lake, where: dict[str, Any], expected: list[str]) -> None:
    assert who(small, where) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"prop": "x", "eq": True}, ["a"]),
        ({"prop": "x", "eq": "true"}, ["b"]),
        ({"prop": "x", "eq": 1}, ["c"]),
        ({"prop": "x", "eq": "1"}, ["d"]),
        ({"prop": "x", "ne": 5}, ["c"]),
        ({"prop": "x", "is_set": True}, ["a", "b", "c", "d"]),
    ],
)
def test_a_property_value_of_another_type_is_as_if_not_set(
    lake: Lake, rule: dict[str, Any], expected: list[str]
) -> None:
    write_contacts(lake)
    earlier = AS_OF - timedelta(days=1)
    values = {"a": True, "b": "true", "c": 1, "d": "1"}
    write_events(lake, *((who, "visit", earlier, {"x": value}) for who, value in values.items()))
    assert who(lake, {"did": {"event": "visit", "where": [rule]}}) == expected


def test_a_window_includes_its_start_and_excludes_as_of(small: Lake) -> None:
    assert who(small, {"did": {"event": "purchase", "within": "90d", "until": "2025-12-03"}}) == ["a"]
    assert who(small, {"did": {"event": "purchase", "within": "89d", "until": "2025-12-03"}}) == []
    assert "c" not in who(small, {"did": {"event": "purchase"}})


def test_a_referenced_segment_keeps_its_own_time_zone(small: Lake) -> None:
    when = {"trait": {"field": "created_at", "lt": "2026-02-27T14:00"}}  # d: 9:00 on 26 February in UTC, c: on the 27th
    tokyo = Segment.model_validate({"segment": "tokyo", "timezone": "Asia/Tokyo", "where": when})
    assert who(small, {"segment": "tokyo"}, {"tokyo": tokyo}) == ["d"]
    assert who(small, when) == ["c", "d"]


def test_a_preview_says_what_each_line_matches_and_leaves(small: Lake) -> None:
    where = {
        "all": [
            {"trait": {"field": "country", "in": ["DE", "AT"]}},
            {"any": [{"did": {"event": "visit"}}, {"trait": {"field": "vip", "eq": True}}]},
            {"not": {"trait": {"field": "loyalty_points", "is_set": False}}},
        ]
    }
    found = preview(small, Segment.model_validate({"segment": "s", "where": where}), {}, AS_OF)
    assert found.lines == [
        PreviewLine("where", 0, "all of", 1, 1),
        PreviewLine("where.all.0", 1, "country is one of DE, AT", 2, 2),
        PreviewLine("where.all.1", 1, "any of", 3, 1),
        PreviewLine("where.all.1.any.0", 2, "did visit", 1, 0),
        PreviewLine("where.all.1.any.1", 2, "vip is true", 2, 1),
        PreviewLine("where.all.2", 1, "not", 3, 1),
        PreviewLine("where.all.2.not", 2, "loyalty_points is not set", 1, 0),
    ]
    assert (found.count, found.total, found.sample) == (1, 4, ["a"])


@pytest.mark.parametrize(
    ("where", "message", "hint"),
    [
        ({"trait": {"field": "contry", "eq": "DE"}}, "segment s: where: field 'contry' is not known", "'country'"),
        ({"trait": {"field": "x; DROP TABLE a", "eq": 1}}, "is not known", "There are: contact_id, country,"),
        ({"not": {"did": {"event": "purchas"}}}, "where.not: event 'purchas' is not known", "'purchase'"),
        ({"did": {"event": "purchase", "where": [{"prop": "amout", "gt": 1}]}}, "property of purchase", "'amount'"),
        ({"did": {"event": "purchase", "sum": {"prop": "amont", "gt": 1}}}, "property of purchase", "'amount'"),
        ({"did": {"event": "purchase", "sum": {"prop": "gift", "gt": 1}}}, "'gift' of purchase is true/false", ""),
        ({"trait": {"field": "country", "eq": False}}, "false is true/false, not text; put the value in quotes", ""),
        ({"trait": {"field": "country", "gt": 5}}, "5 is a number, not text", ""),
        ({"trait": {"field": "loyalty_points", "eq": "5"}}, "5 is text, not a whole number", ""),
        ({"trait": {"field": "loyalty_points", "contains": "5"}}, "contains does not go with whole number", ""),
        ({"trait": {"field": "vip", "gt": True}}, "gt does not go with true/false", ""),
        ({"trait": {"field": "created_at", "eq": "2026-01-01"}}, "eq does not go with time", ""),
        ({"trait": {"field": "created_at", "gt": "soon"}}, "'soon' is not an ISO date", ""),
        ({"trait": {"field": "created_at", "gt": 5}}, "5 is a number, not a time", ""),
        ({"did": {"event": "purchase", "where": [{"prop": "amount", "gt": "5"}]}}, "'amount': 5 is text, not a", ""),
        ({"did": {"event": "purchase", "where": [{"prop": "amount", "in": ["a", 1]}]}}, "of several types", ""),
        ({"did": {"event": "visit", "since": "2026-01-02", "until": "2026-01-01"}}, "is not before until", ""),
    ],
)
def test_what_the_catalogue_does_not_allow_is_an_error(
    small: Lake, where: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        who(small, where)
    assert message in raised.value.message
    assert hint in raised.value.hint


def test_the_catalogue_has_fields_events_and_properties_of_all_files(small: Lake) -> None:
    write_events(small, ("a", "purchase", AS_OF, {"amount": "free", "tags": [1], "note": None}), name="two")
    catalogue = read_catalogue(small)
    assert catalogue.fields == {
        "contact_id": Kind.TEXT,
        "country": Kind.TEXT,
        "loyalty_points": Kind.INTEGER,
        "vip": Kind.BOOLEAN,
        "created_at": Kind.MOMENT,
    }
    assert catalogue.events == {
        "purchase": {
            "amount": {Kind.NUMBER, Kind.TEXT},
            "category": {Kind.TEXT},
            "gift": {Kind.BOOLEAN},
            "tags": {Kind.OTHER},
            "note": set(),
        },
        "visit": {},
    }


def test_a_file_that_was_replaced_is_scanned_again(small: Lake) -> None:
    read_catalogue(small)
    write_events(small, ("a", "refund", AS_OF, {"why": "late"}))
    assert set(read_catalogue(small).events) == {"refund"}


def test_without_behaviour_traits_work_and_events_are_a_clear_error(lake: Lake) -> None:
    write_contacts(lake)
    assert who(lake, {"trait": {"field": "vip", "eq": True}}) == ["a", "d"]
    with pytest.raises(InvalidInput, match="event 'purchase': no events were imported yet"):
        who(lake, {"did": {"event": "purchase"}})


def test_without_contacts_there_is_a_clear_error(lake: Lake) -> None:
    with pytest.raises(NotFound, match="there is no contact snapshot"):
        who(lake, {"trait": {"field": "vip", "eq": True}})
    write_contacts(lake)
    lake.write(lake.read("contact_snapshot").clear(), "contact_snapshot")
    with pytest.raises(NotFound, match="the contact snapshot has no contacts"):
        who(lake, {"trait": {"field": "vip", "eq": True}})


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM glob('/tmp/*')",
        "COPY (SELECT 1) TO '/tmp/segment-test-must-not-exist'",
        "ATTACH '/tmp/segment-test-must-not-exist'",
        "INSTALL httpfs",
        "SET allowed_paths = []",
        "SET enable_external_access = true",
    ],
)
def test_the_database_reads_the_two_tables_and_nothing_else(small: Lake, statement: str) -> None:
    other = small.write(pl.DataFrame({"secret": [1]}), "audience", "run")
    with open_lake(small, lake_tables(read_catalogue(small))) as connection:
        assert connection.sql("SELECT count(*) FROM contact_snapshot").fetchall() == [(4,)]
        assert connection.sql("SELECT count(*) FROM behaviour").fetchall() == [(7,)]
        with pytest.raises(duckdb.Error, match=r"file system operations are disabled|has been locked|[Cc]annot"):
            connection.execute(statement.format(other=other)).fetchall()


def test_values_are_bound_and_not_part_of_the_sql(small: Lake) -> None:
    where = {"all": [{"trait": {"field": "country", "eq": "x' OR 1=1 --"}}, {"did": {"event": "visit"}}]}
    segment = Segment.model_validate({"segment": "s", "where": where})
    catalogue = read_catalogue(small)
    text, values = duckdb_sql(compiler(segment, {}, catalogue, lake_tables(catalogue), AS_OF).members(segment))
    assert values == ["x' OR 1=1 --", "visit", AS_OF]
    assert "1=1" not in text
    assert "visit" not in text
