"""Hostile strings (the big list of naughty strings) as values, names and data do no harm to segments."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import Catalogue, read_catalogue
from campaign_pipeline.segments.compiler import compiler, lake_tables
from campaign_pipeline.segments.definition import Segment, read_segment_file
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import open_lake, preview
from campaign_pipeline.segments.session import open_session

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def strings(shared_data: Path) -> list[str]:
    """Distinct, and not empty: `contains` and `starts` need something to look for."""
    found: list[str] = json.loads((shared_data / "contacts" / "blns.json").read_text())
    return list(dict.fromkeys(text for text in found if text))


@pytest.fixture(scope="module")
def hostile_lake(strings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Contact n has string n as its country, and did an event of that name with a property of that name and value."""
    lake = Lake(tmp_path_factory.mktemp("hostile"))
    ids = [f"{number:024d}" for number in range(len(strings))]
    lake.write(pl.DataFrame({"contact_id": ids, "country": strings}), "contact_snapshot")
    events = {
        "event_id": ids,
        "contact_id": ids,
        "event": strings,
        "occurred_at": [datetime(2026, 1, 1, tzinfo=UTC)] * len(ids),
        "properties": [json.dumps({text: text}) for text in strings],
    }
    schema = {"occurred_at": pl.Datetime("us", "UTC")}
    lake.write(pl.DataFrame(events, schema_overrides=schema), "behaviour", "hostile")
    return lake


@pytest.fixture(scope="module")
def catalogue(hostile_lake: Lake) -> Catalogue:
    return read_catalogue(hostile_lake)


def segment(where: dict[str, Any]) -> Segment:
    return Segment.model_validate({"segment": "hostile", "where": where})


def test_hostile_values_events_and_properties_match_exactly_themselves(
    hostile_lake: Lake, catalogue: Catalogue, strings: list[str]
) -> None:
    assert set(catalogue.events) == set(strings)
    tables = lake_tables(catalogue)
    texts: set[str] = set()
    with open_lake(hostile_lake, tables) as connection:
        for number, text in enumerate(strings):
            rule = {"prop": text, "eq": text}
            equal = {"all": [{"trait": {"field": "country", "eq": text}}, {"did": {"event": text, "where": [rule]}}]}
            part = {"trait": {"field": "country", "contains": text}}
            for where, expected in (
                (equal, [number]),
                (part, [at for at, other in enumerate(strings) if text in other]),
            ):
                one = segment(where)
                sql, values = duckdb_sql(compiler(one, {}, catalogue, tables, AS_OF).members(one))
                found = connection.sql(sql, params=values).fetchall()
                assert [int(row[0]) for row in found] == expected
                texts.add(sql)
        assert connection.sql("SELECT count(*) FROM contact_snapshot").fetchall() == [(len(strings),)]
    assert len(texts) == 2, "a value became part of the SQL"


def test_hostile_field_names_are_refused(hostile_lake: Lake, catalogue: Catalogue, strings: list[str]) -> None:
    with open_session(hostile_lake, catalogue) as session:
        for text in strings:
            with pytest.raises(InvalidInput, match="is not known"):
                preview(session, segment({"trait": {"field": text, "eq": "x"}}), {}, AS_OF)


def test_a_hostile_file_is_read_or_refused_with_an_error_of_ours(strings: list[str], tmp_path: Path) -> None:
    file = tmp_path / "segment.yaml"
    for text in strings:
        where = {"trait": {"field": "country", "eq": text}}
        file.write_text(yaml.safe_dump({"segment": "hostile", "where": where}, allow_unicode=True))
        assert read_segment_file(file) == segment(where)
        file.write_text(f"segment: hostile\nwhere: {text}\n")
        with pytest.raises(InvalidInput):
            read_segment_file(file)
