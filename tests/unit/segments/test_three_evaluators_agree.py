"""Property test: DuckDB, PostgreSQL and plain Python give the same contacts for random segments.

A longer run by hand, with other trees: SEGMENT_TREES=5000 SEGMENT_SEED=1 pytest tests/unit/segments/test_three_...
"""

import json
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import sqlalchemy as sa
import sqlglot
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as hypothesis_settings
from sqlalchemy.dialects.postgresql import JSONB
from sqlglot import expressions as exp

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import read_catalogue
from campaign_pipeline.segments.compiler import Tables, compiler, lake_tables
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import open_lake, preview
from campaign_pipeline.segments.nodes.engaged import What
from campaign_pipeline.segments.operators import Operator
from campaign_pipeline.segments.tree import NODE_TYPES
from tests.postgres import url_of

sys.path.insert(0, str(Path(__file__).parent))  # the two helpers beside this file

import random_people as people
import random_world as rw
from python_evaluator import World
from python_people import written_out

TIME = pl.Datetime("us", "UTC")
CONTACT_TYPES = {
    "contact_id": pl.String,
    "country": pl.String,
    "points": pl.Int64,
    "score": pl.Float64,
    "vip": pl.Boolean,
    "order": pl.String,
    "created_at": TIME,
    "birthday": pl.String,
    "lists": pl.List(pl.String),
    "tags": pl.List(pl.String),
    **{f"reachable_{channel}": pl.Boolean for channel in people.CHANNELS},
}
EVENT_TYPES = {
    "event_id": pl.String,
    "contact_id": pl.String,
    "event": pl.String,
    "occurred_at": TIME,
    "properties": pl.String,
}
MESSAGE_TYPES = {
    **dict.fromkeys(("run_id", "campaign", "channel", "contact_id", "variant"), pl.String),
    **dict.fromkeys((what.column for what in What), TIME),
}
TREES = int(os.environ.get("SEGMENT_TREES", "600"))
MEASURES = ("sum", "avg", "min", "max")
COMPARED = ("gte", "lte", "eq", "gt", "lt", "between")
SEED = int(os.environ.get("SEGMENT_SEED", "0"))
TREES_AN_OPERATOR = 5 * len(Operator)
"""So many trees there are if each operator has one library of five."""
OUR_WORDS = {"VARCHAR", "BOOLEAN", "NULL", "true"}  # the only text that may stand in the SQL itself


@pytest.fixture(scope="module")
def world() -> World:
    draw = random.Random(20260330)
    contacts, events = rw.contacts(draw), rw.events(draw)
    contacts = people.with_people(contacts, draw)
    return World(contacts, events, rw.AS_OF, {}, people.messages(contacts, rw.TIMES, draw))


@pytest.fixture(scope="module")
def world_lake(world: World, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("it's [a] lake"))
    lake.write(pl.DataFrame(world.contacts, schema=CONTACT_TYPES), "contact_snapshot")
    events = pl.DataFrame(world.events, schema=EVENT_TYPES)
    lake.write(events[:70], "behaviour", "first")
    lake.write(events[70:], "behaviour", "second")
    for (run,), rows in pl.DataFrame(world.messages, schema=MESSAGE_TYPES).group_by("run_id"):
        lake.write(rows, "message_facts", str(run))
    return lake


@pytest.fixture(scope="module")
def world_postgres(world: World, postgres: Any) -> Iterator[tuple[sa.Connection, Tables]]:
    """The world in temporary tables of one connection."""
    metadata = sa.MetaData()
    types = {pl.String: sa.Text(), pl.Int64: sa.BigInteger(), pl.Float64: sa.Double(), pl.Boolean: sa.Boolean()}
    types |= {pl.List(pl.String): sa.ARRAY(sa.Text())}
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
    columns = {name: sa.Column(name, types.get(dtype, time)) for name, dtype in MESSAGE_TYPES.items()}
    messages = sa.Table("message_facts", metadata, *columns.values(), prefixes=["TEMPORARY"])
    engine = sa.create_engine(url_of(postgres))
    with engine.connect() as connection:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(sa.insert(contacts), world.contacts)
        rows = [{**event, "properties": json.loads(event["properties"])} for event in world.events]
        connection.execute(sa.insert(events), rows)
        connection.execute(sa.insert(messages), world.messages)
        yield connection, Tables(contacts, events, messages)
    engine.dispose()


def test_random_segments_have_the_same_members_in_duckdb_postgresql_and_python(
    world: World, world_lake: Lake, world_postgres: tuple[sa.Connection, Tables]
) -> None:
    catalogue = read_catalogue(world_lake)
    tables = lake_tables(catalogue)
    connection, postgres_tables = world_postgres
    seen: Counter[str] = Counter()
    sizes: Counter[int] = Counter()

    def agree(definitions: dict[str, dict[str, Any]], as_of: datetime) -> None:
        library = {name: Segment.model_validate(one) for name, one in definitions.items()}
        here = World(world.contacts, world.events, as_of, definitions, world.messages)
        for name, segment in library.items():
            expected = sorted(here.members(definitions[name]))
            text, parameters = duckdb_sql(compiler(segment, library, catalogue, tables, as_of).members(segment))
            in_duckdb = [row[0] for row in duck.sql(text, params=parameters).fetchall()]
            query = compiler(segment, library, catalogue, postgres_tables, as_of).members(segment)
            in_postgres = list(connection.scalars(query))

            assert in_duckdb == expected, f"{name}: DuckDB differs from Python"
            assert in_postgres == expected, f"{name}: PostgreSQL differs from Python"
            count(definitions[name]["where"], definitions, seen)
            seen.update(list(definitions[name]))
            sizes[len(expected)] += 1
        is_one_harmless_select(text)

    with open_lake(world_lake, tables) as duck:
        for number, op in enumerate(Operator):
            random_libraries = rw.libraries(op.value, rw.THRESHOLDS[number % len(rw.THRESHOLDS)])
            run = seed(1000 * SEED + number)(given(random_libraries, rw.AS_OFS)(agree))
            hypothesis_settings(
                max_examples=TREES // TREES_AN_OPERATOR + 1,
                deadline=None,
                derandomize=False,
                database=None,
                suppress_health_check=list(HealthCheck),
            )(run)()

    assert sizes.total() >= TREES
    assert set(NODE_TYPES) <= set(seen), "the generator does not know every kind of node"
    assert {f"trait.{op}" for op in Operator} <= set(seen)
    assert {f"where.{op}" for op in Operator} <= set(seen)
    assert {f"{part}.{op}" for part in ("count", "measure") for op in COMPARED} <= set(seen)
    assert set(MEASURES) <= set(seen)
    assert {"trait.ignore_case", "where.ignore_case", "within", "since", "until"} <= set(seen)
    assert {"percentile", "is_set", "recency", "frequency", "monetary", "exclude", "sample", "limit"} <= set(seen)
    trivial = sizes[0] + sizes[len(world.contacts)]
    assert trivial < sizes.total() / 2, "most segments match nobody or everybody: the comparison says little"


def test_a_preview_counts_every_line_as_python_does(world: World, world_lake: Lake) -> None:
    catalogue = read_catalogue(world_lake)

    @hypothesis_settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(rw.libraries())
    def agree(definitions: dict[str, dict[str, Any]]) -> None:
        library = {name: Segment.model_validate(one) for name, one in definitions.items()}
        here = World(world.contacts, world.events, world.as_of, definitions, world.messages)
        everyone = {contact["contact_id"] for contact in world.contacts}
        expected: list[tuple[str, int, int]] = []
        count_whole(here, definitions["drawn"], everyone, expected)
        found = preview(world_lake, library["drawn"], library, rw.AS_OF, catalogue)
        assert sorted((line.path, line.matches, line.remains) for line in found.lines) == sorted(expected)
        members = sorted(here.members(definitions["drawn"]))
        assert (found.count, found.total, found.sample) == (len(members), len(everyone), members[:10])

    agree()


def count_whole(world: World, segment: dict[str, Any], everyone: set[str], lines: list[tuple[str, int, int]]) -> None:
    """`where`, and after it exclusions, sample and limit, as lines of an `all` that is the whole segment."""
    after = [key for key in ("exclude", "sample", "limit") if key in segment]
    members = world.members(segment)
    lines += [("", len(members), len(members))] if after else []
    count_lines(world, segment, "where", everyone, lines)
    left = world.matching(segment["where"], ZoneInfo(segment["timezone"]))
    nodes = [{"not": written_out(node)} for node in segment.get("exclude", [])]
    for index, node in enumerate(nodes):
        count_lines(world, segment | {"exclude": nodes}, f"exclude.{index}", left, lines)
        left = left & world.matching(node, ZoneInfo(segment["timezone"]))
    if "sample" in segment:
        sampled = {contact for contact in everyone if world.sampled(contact, segment["sample"])}
        lines.append(("sample", len(sampled), len(left & sampled)))
    if "limit" in segment:
        lines.append(("limit", len(members), len(members)))


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
    shared = {cte.alias for cte in statement.find_all(exp.CTE)}
    assert all(re.fullmatch(r"[a-z]+_[0-9a-f]{24}", name) for name in shared)
    tables = {"contact_snapshot", "behaviour", "message_facts"}
    assert {table.name for table in statement.find_all(exp.Table)} - shared <= tables
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
    elif key in ("list", "tag", "reachable"):
        seen[f"{key}.{type(value).__name__}"] += 1
    else:
        seen.update(value.keys())
        seen.update(f"count.{name}" for name in value.get("count", {}))
        seen.update(f"measure.{name}" for part in MEASURES for name in value.get(part, {}))
        steps = [step for step in value.get("steps", []) if isinstance(step, dict)]
        seen.update(f"where.{name}" for part in (value, *steps) for rule in part.get("where", []) for name in rule)
