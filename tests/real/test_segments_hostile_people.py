"""Hostile strings (the big list of naughty strings) as lists, tags, campaigns, metrics and orders do no harm."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlglot
from sqlglot import expressions as exp

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import read_catalogue
from campaign_pipeline.segments.compiler import MESSAGE_COLUMNS, compiler, lake_tables
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.session import Session, open_session

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
EVERYBODY = {"trait": {"field": "contact_id", "is_set": True}}


@pytest.fixture(scope="module")
def strings(shared_data: Path) -> list[str]:
    found: list[str] = json.loads((shared_data / "contacts" / "blns.json").read_text())
    return list(dict.fromkeys(text for text in found if text))


@pytest.fixture(scope="module")
def hostile_people(strings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Contact n is on the list, has the tag, and got a message of the campaign and variant, all named by string n."""
    lake = Lake(tmp_path_factory.mktemp("people"))
    ids = [f"{number:024d}" for number in range(len(strings))]
    each = [[text] for text in strings]
    lake.write(pl.DataFrame({"contact_id": ids, "lists": each, "tags": each}), "contact_snapshot")
    times = dict.fromkeys((name for name in MESSAGE_COLUMNS if name.endswith("_at")), TIME)
    columns = dict.fromkeys(MESSAGE_COLUMNS, ["email"] * len(ids)) | dict.fromkeys(times, [BEFORE] * len(ids))
    columns |= {"campaign": strings, "variant": strings, "contact_id": ids}
    lake.write(pl.DataFrame(columns, schema_overrides=times), "message_facts", "hostile--20260101t000000z")
    events = {"event_id": ids, "contact_id": ids, "event": strings, "occurred_at": [BEFORE] * len(ids)}
    events |= {"properties": [json.dumps({text: 1}) for text in strings]}
    lake.write(pl.DataFrame(events, schema_overrides={"occurred_at": TIME}), "behaviour", "hostile")
    return lake


def segment(**parts: Any) -> Segment:
    return Segment.model_validate({"segment": "hostile", "where": EVERYBODY} | parts)


def who(session: Session, drawn: Segment) -> list[int]:
    return [int(one) for one in members(session, drawn, {}, AS_OF)["contact_id"]]


def test_hostile_names_match_exactly_themselves(hostile_people: Lake, strings: list[str]) -> None:
    everybody = list(range(len(strings)))
    with open_session(hostile_people) as session:
        for number, text in enumerate(strings):
            engaged = {"engaged": {"what": "sent", "campaign": text, "variant": text}}
            metrics = {"m": {"event": text, "sum": text}}
            rfm = {"rfm": {"event": text, "amount": text, "monetary": {"eq": 1}}}
            top = {"metric": {"name": "m", "percentile": {"eq": 0}}}
            both = segment(where={"all": [{"list": text}, {"tag": [text]}, engaged, rfm, top]}, metrics=metrics)
            assert who(session, both) == [number]
            if text == text.strip():
                assert who(session, segment(exclude=[f"list:{text}"])) == [one for one in everybody if one != number]
            if number % 20 == 0:  # the last of an order is found as well
                first = segment(metrics=metrics, limit={"n": 1, "order_by": "m desc"})
                assert who(session, first) == [number]
        assert session.total == len(strings)


def test_no_name_becomes_part_of_the_sql(hostile_people: Lake, strings: list[str]) -> None:
    catalogue = read_catalogue(hostile_people)
    texts: set[str] = set()
    for text in strings:
        leaves = [
            {"list": text},
            {"tag": text},
            {"engaged": {"what": "opened", "campaign": [text], "count": {"lt": 2}}},
        ]
        drawn = segment(
            where={"any": leaves}, exclude=[{"tag": text}], sample={"percent": 5, "seed": "s"}, limit={"n": 3}
        )
        texts.add(duckdb_sql(compiler(drawn, {}, catalogue, lake_tables(catalogue), AS_OF).members(drawn))[0])
    shapes = {text.replace(name, "limit") for text in texts for name in [text.split()[1]]}
    assert len(shapes) == 1
    (statement,) = sqlglot.parse(texts.pop(), dialect="duckdb")
    assert isinstance(statement, exp.Select)


def test_hostile_names_that_are_not_known_are_refused(hostile_people: Lake, strings: list[str]) -> None:
    with open_session(hostile_people) as session:
        for text in strings:
            wrong = f"{text}~"
            if wrong in strings:
                continue
            for where in ({"list": wrong}, {"tag": wrong}, {"engaged": {"what": "sent", "campaign": wrong}}):
                with pytest.raises(InvalidInput):
                    who(session, segment(where=where))
            with pytest.raises((InvalidInput, ValueError)):
                who(session, segment(limit={"n": 1, "order_by": text}))


def test_hostile_seeds_and_names_of_metrics_are_refused_or_harmless(hostile_people: Lake, strings: list[str]) -> None:
    metric = {"event": strings[0], "count": "events"}
    sampled = 0
    with open_session(hostile_people) as session:
        for text in strings:
            try:
                drawn = segment(sample={"percent": 50, "seed": text})
            except ValueError:
                assert not text.isascii() or not text.isprintable() or len(text) > 100
            else:
                sampled += 1
                assert len(strings) * 0.35 < len(who(session, drawn)) < len(strings) * 0.65
            if not re.fullmatch("[a-z][a-z0-9_-]{0,49}", text) or "--" in text:
                with pytest.raises(ValueError, match=r"is not usable|contains '--'"):
                    segment(metrics={text: metric})
    assert sampled > 200
