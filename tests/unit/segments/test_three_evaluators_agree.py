"""Property test: DuckDB, PostgreSQL and plain Python give the same contacts for random segments."""

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import sqlalchemy as sa
import sqlglot
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from sqlalchemy.dialects.postgresql import JSONB
from sqlglot import expressions as exp

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import read_catalogue
from campaign_pipeline.segments.compiler import Tables, compiler, lake_tables
from campaign_pipeline.segments.definition import NODE_TYPES, Segment
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import open_lake, preview
from campaign_pipeline.segments.operators import Operator

sys.path.insert(0, str(Path(__file__).parent))  # the two helpers beside this file

import random_world as rw
from python_evaluator import World

TIME = pl.Datetime("us", "UTC")
CONTACT_TYPES = {
    "contact_id": pl.String,
    "country": pl.String,
    "points": pl.Int64,
    "score": pl.Float64,
    "vip": pl.Boolean,
    "order": pl.String,
    "created_at": TIME,
}
EVENT_TYPES = {
    "event_id": pl.String,
    "contact_id": pl.String,
    "event": pl.String,
    "occurred_at": TIME,
    "properties": pl.String,
}
OUR_WORDS = {"VARCHAR", "BOOLEAN", "NULL", "true"}  # the only text that may stand in the SQL itself


@pytest.fixture(scope="module")
def world() -> World:
    draw = random.Random(20260330)
    return World(rw.contacts(draw), rw.events(draw), rw.AS_OF, {})


@pytest.fixture(scope="module")
def world_lake(world: World, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("it's [a] lake"))
    lake.write(pl.DataFrame(world.contacts, schema=CONTACT_TYPES), "contact_snapshot")
    events = pl.DataFrame(world.events, schema=EVENT_TYPES)
    lake.write(events[:70], "behaviour", "first")
    lake.write(events[70:], "behaviour", "second")
    return lake


@pytest.fixture(scope="module")
def postgres(world: World, postgres_url: str) -> Iterator[tuple[sa.Connection, Tables]]:
    """The world in temporary tables of one connection."""
    metadata = sa.MetaData()
    types = {pl.String: sa.Text(), pl.Int64: sa.BigInteger(), pl.Float64: sa.Double(), pl.Boolean: sa.Boolean()}
    time = sa.DateTime(timezone=True)
    contacts = sa.Table(
        "contact_snapshot",
        metadata,
        *(sa.Column(name, types.get(dtype, time)) for name, dtype in CONTACT_TYPES.items()),
        prefixes=["TEMPORARY"],
    )
    columns = {name: sa.Column(name, types.get(dtype, time)) for name, dtype in EVENT_TYPES.items()}
    columns["properties"] = sa.Column("properties", JSONB())
    events = sa.Table("behaviour", metadata, *columns.values(), prefixes=["TEMPORARY"])
    engine = sa.create_engine(postgres_url)
    with engine.connect() as connection:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(sa.insert(contacts), world.contacts)
        rows = [{**event, "properties": json.loads(event["properties"])} for event in world.events]
        connection.execute(sa.insert(events), rows)
        yield connection, Tables(contacts, events)
    engine.dispose()


def test_random_segments_have_the_same_members_in_duckdb_postgresql_and_python(
    world: World, world_lake: Lake, postgres: tuple[sa.Connection, Tables]
) -> None:
    catalogue = read_catalogue(world_lake)
    tables = lake_tables(catalogue)
    connection, postgres_tables = postgres
    seen: Counter[str] = Counter()
    sizes: Counter[int] = Counter()

    @hypothesis_settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(rw.libraries())
    def agree(definitions: dict[str, dict[str, Any]]) -> None:
        library = {name: Segment.model_validate(one) for name, one in definitions.items()}
        drawn = library["drawn"]
        here = World(world.contacts, world.events, world.as_of, definitions)
        expected = sorted(here.members(definitions["drawn"]))

        text, parameters = duckdb_sql(compiler(drawn, library, catalogue, tables, rw.AS_OF).members(drawn))
        in_duckdb = [row[0] for row in duck.sql(text, params=parameters).fetchall()]
        query = compiler(drawn, library, catalogue, postgres_tables, rw.AS_OF).members(drawn)
        in_postgres = list(connection.scalars(query))

        assert in_duckdb == expected, "DuckDB differs from Python"
        assert in_postgres == expected, "PostgreSQL differs from Python"
        is_one_harmless_select(text)
        count(definitions["drawn"]["where"], definitions, seen)
        sizes[len(expected)] += 1

    with open_lake(world_lake, tables) as duck:
        agree()

    assert sizes.total() >= 150
    assert set(NODE_TYPES) <= set(seen), "the generator does not know every kind of node"
    assert {f"trait.{op}" for op in Operator} <= set(seen)
    assert {f"where.{op}" for op in Operator} <= set(seen)
    assert {f"{part}.{op}" for part in ("count", "sum") for op in ("gte", "lte", "eq", "gt", "lt")} <= set(seen)
    assert {"within", "since", "until"} <= set(seen)
    trivial = sizes[0] + sizes[len(world.contacts)]
    assert trivial < sizes.total() / 2, "most segments match nobody or everybody: the comparison says little"


def test_a_preview_counts_every_line_as_python_does(world: World, world_lake: Lake) -> None:
    catalogue = read_catalogue(world_lake)

    @hypothesis_settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(rw.libraries())
    def agree(definitions: dict[str, dict[str, Any]]) -> None:
        library = {name: Segment.model_validate(one) for name, one in definitions.items()}
        here = World(world.contacts, world.events, world.as_of, definitions)
        everyone = {contact["contact_id"] for contact in world.contacts}
        expected: list[tuple[str, int, int]] = []
        count_lines(here, definitions["drawn"], "where", everyone, expected)
        found = preview(world_lake, library["drawn"], library, rw.AS_OF, catalogue)
        assert sorted((line.path, line.matches, line.remains) for line in found.lines) == sorted(expected)
        members = sorted(here.members(definitions["drawn"]))
        assert (found.count, found.total, found.sample) == (len(members), len(everyone), members[:10])

    agree()


def count_lines(
    world: World, segment: dict[str, Any], path: str, reached: set[str], lines: list[tuple[str, int, int]]
) -> None:
    """The rules in preview.py, on sets."""
    node: Any = segment
    for part in path.split("."):
        node = node[int(part)] if part.isdigit() else node[part]
    zone = ZoneInfo(segment["timezone"])
    matches = world.matching(node, zone)
    remains = reached & matches
    ((key, inner),) = node.items()
    if key == "all":
        left = reached
        for index, child in enumerate(inner):
            count_lines(world, segment, f"{path}.all.{index}", left, lines)
            left = left & world.matching(child, zone)
    elif key == "any":
        found: set[str] = set()
        for index, child in enumerate(inner):
            start = len(lines)
            count_lines(world, segment, f"{path}.any.{index}", reached, lines)
            found |= reached & world.matching(child, zone)
            own = next(at for at in range(start, len(lines)) if lines[at][0] == f"{path}.any.{index}")
            lines[own] = (lines[own][0], lines[own][1], len(found))
    elif key == "not":
        count_lines(world, segment, f"{path}.not", reached, lines)
    lines.append((path, len(matches), len(remains)))


def is_one_harmless_select(text: str) -> None:
    (statement,) = sqlglot.parse(text, dialect="duckdb")
    assert isinstance(statement, exp.Select)
    assert {table.name for table in statement.find_all(exp.Table)} <= {"contact_snapshot", "behaviour"}
    assert {literal.this for literal in statement.find_all(exp.Literal) if literal.is_string} <= OUR_WORDS
    assert [select.sql() for select in statement.selects] == ["contact_snapshot.contact_id"]


def count(node: dict[str, Any], library: dict[str, dict[str, Any]], seen: Counter[str]) -> None:
    ((key, value),) = node.items()
    seen[key] += 1
    if key in ("all", "any"):
        for child in value:
            count(child, library, seen)
    elif key == "not":
        count(value, library, seen)
    elif key == "segment":
        count(library[value]["where"], library, seen)
    elif key == "trait":
        seen.update(f"trait.{name}" for name in value)
    else:
        seen.update(value.keys())
        seen.update(f"{part}.{name}" for part in ("count", "sum") for name in value.get(part, {}))
        seen.update(f"where.{name}" for rule in value.get("where", []) for name in rule)
