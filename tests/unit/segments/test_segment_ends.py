"""Exclusions, samples and limits: who stays, also through references, and line by line in the preview."""

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.hashing import buckets, fnv1a
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.bucket import Bucket
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import members, preview
from campaign_pipeline.segments.references import check_references

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
EVERYBODY = {"trait": {"field": "contact_id", "is_set": True}}
IDS = sorted(contact_id(str(number)) for number in range(2_000))


@pytest.fixture
def crowd(lake: Lake) -> Lake:
    count = len(IDS)
    contacts = {
        "contact_id": IDS,
        "points": [None if number % 10 == 0 else number % 7 for number in range(count)],
        "country": [["DE", "de", "Ärger", None][number % 4] for number in range(count)],
        "lists": [["complaints"] if number < 500 else [] for number in range(count)],
        "tags": [["x"] if number % 2 else [] for number in range(count)],
    }
    lake.write(pl.DataFrame(contacts), "contact_snapshot")
    event = {"event_id": "e", "contact_id": IDS[3], "event": "visit", "occurred_at": AS_OF - timedelta(days=1)}
    lake.write(pl.DataFrame([event | {"properties": "{}"}]), "behaviour", "one")
    return lake


def segment(name: str = "s", **parts: Any) -> Segment:
    return Segment.model_validate({"segment": name, "where": EVERYBODY, **parts})


def who(lake: Lake, *library: Segment, **parts: Any) -> list[str]:
    drawn = segment(**parts)
    known = {one.segment: one for one in library}
    found = members(lake, drawn, known, AS_OF)["contact_id"].to_list()
    assert preview(lake, drawn, known, AS_OF).count == len(found)
    return found


def test_whoever_matches_an_exclusion_is_out(crowd: Lake) -> None:
    assert who(crowd, exclude=["list:complaints"]) == IDS[500:]
    few = segment("few", where={"did": {"event": "visit"}})
    assert who(crowd, few, exclude=["segment:few", {"tag": "x"}]) == IDS[::2]
    assert who(crowd, exclude=[{"not": {"tag": "x"}}, "list: complaints"]) == IDS[501::2]


def test_a_sample_is_that_of_the_assignment_hash(crowd: Lake) -> None:
    places = buckets("spring:sample", IDS)
    for percent in (10, 33.33, 100):
        expected = [one for one, place in zip(IDS, places, strict=True) if place < percent / 100]
        assert who(crowd, sample={"percent": percent, "seed": "spring"}) == expected
    assert 150 < len(who(crowd, sample={"percent": 10, "seed": "spring"})) < 250


def test_a_sample_tells_nothing_about_the_variants_of_a_campaign_of_that_name(crowd: Lake) -> None:
    sampled = who(crowd, sample={"percent": 50, "seed": "spring"})
    assert 0.4 < (buckets("spring", sampled) < 0.5).mean() < 0.6


def test_the_hash_in_sql_is_the_hash_in_python() -> None:
    texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)

    @settings(max_examples=60, deadline=None)
    @given(texts.filter(bool), st.lists(texts, min_size=1, max_size=5))
    def holds(seed: str, ids: list[str]) -> None:
        ids = [*ids, "".join(ids)[:24].ljust(24, "x")]
        contacts = sa.table("contacts", sa.column("id", sa.Text()))
        query = sa.select(Bucket(contacts.c.id, sa.literal(fnv1a(seed), sa.BigInteger())))
        text, values = duckdb_sql(query)
        connection.execute("CREATE OR REPLACE TABLE contacts AS SELECT unnest($1) AS id", [ids])
        found = [row[0] for row in connection.sql(text, params=values).fetchall()]
        assert found == np.round(buckets(seed, ids) * 10_000).astype(int).tolist()

    with duckdb.connect() as connection:
        holds()


def test_a_limit_takes_the_first_and_nobody_without_a_value_before_others(crowd: Lake) -> None:
    assert who(crowd, limit={"n": 3}) == IDS[:3]
    by_points = [(number % 7, number) for number in range(2_000) if number % 10]
    expected = sorted(IDS[number] for _, number in sorted(by_points)[:400])
    assert who(crowd, limit={"n": 400, "order_by": "points"}) == expected
    highest = sorted(IDS[number] for _, number in sorted(by_points, key=lambda one: (-one[0], one[1]))[:1900])
    found = who(crowd, limit={"n": 1900, "order_by": "points desc"})
    assert set(highest[:1800]) <= set(found)
    nobodies = [IDS[number] for number in range(0, 2_000, 10)]
    assert sorted(set(found) & set(nobodies)) == nobodies[:100]


def test_text_is_ordered_by_its_bytes(crowd: Lake) -> None:
    assert who(crowd, limit={"n": 500, "order_by": "country asc"}) == IDS[::4]
    assert who(crowd, limit={"n": 500, "order_by": "country desc"}) == IDS[2::4]


def test_a_limit_is_last_and_by_metrics_too(crowd: Lake) -> None:
    metrics = {"visits": {"event": "visit", "count": "events"}}
    limit = {"n": 2, "order_by": "visits desc"}
    assert who(crowd, metrics=metrics, limit=limit) == [IDS[0], IDS[3]]
    assert who(crowd, metrics=metrics, exclude=["list:complaints"], limit=limit) == IDS[500:502]


def test_a_reference_means_the_whole_segment(crowd: Lake) -> None:
    half = segment("half", sample={"percent": 50, "seed": "a"}, exclude=["list:complaints"], limit={"n": 100})
    inside = who(crowd, half, where={"segment": "half"})
    assert len(inside) == 100
    assert set(inside) <= set(IDS[500:])
    # The limit counts among everybody, before what stands around the reference.
    odd = who(crowd, half, where={"all": [{"segment": "half"}, {"tag": "x"}]})
    assert odd == [one for one in inside if one in IDS[1::2]]
    assert who(crowd, half, where={"not": {"segment": "half"}}) == sorted(set(IDS) - set(inside))


def test_a_preview_has_a_line_for_each(crowd: Lake) -> None:
    drawn = segment(
        where={"all": [EVERYBODY, {"tag": "x"}]},
        exclude=["list:complaints"],
        sample={"percent": 100, "seed": "a"},
        limit={"n": 10, "order_by": "points desc"},
    )
    found = preview(crowd, drawn, {}, AS_OF)
    assert [(line.path, line.depth, line.text, line.matches, line.remains) for line in found.lines] == [
        ("", 0, "the segment", 10, 10),
        ("where", 1, "all of", 1000, 1000),
        ("where.all.0", 2, "contact_id is set", 2000, 2000),
        ("where.all.1", 2, "tagged x", 1000, 1000),
        ("exclude.0", 1, "exclude", 1500, 750),
        ("exclude.0.not", 2, "on list complaints", 500, 250),
        ("sample", 1, "a sample of 100% (seed a)", 2000, 750),
        ("limit", 1, "the first 10 by points desc", 10, 10),
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"limit": {"n": 1, "order_by": "pionts"}}, "limit: field 'pionts' is not known"),
        (
            {"limit": {"n": 1, "order_by": "points"}, "metrics": {"points": {"event": "visit", "count": "events"}}},
            "limit: the first 1 by points: points is a field as well as a metric",
        ),
        ({"exclude": ["list:vips"]}, "exclude.0.not: list 'vips': no contact has it"),
    ],
)
def test_names_that_do_not_fit_the_data_are_errors(crowd: Lake, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        who(crowd, **parts)
    assert f"segment s: {message}" in raised.value.message


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"exclude": ["complaints"]}, "must be list:NAME, tag:NAME, segment:NAME or a node"),
        ({"exclude": ["trait:x"]}, "must be list:NAME, tag:NAME, segment:NAME or a node"),
        ({"exclude": ["list: "]}, "must be list:NAME, tag:NAME, segment:NAME or a node"),
        ({"sample": {"percent": 0, "seed": "a"}}, "must be more than 0 and at most 100"),
        ({"sample": {"percent": 100.5, "seed": "a"}}, "must be more than 0 and at most 100"),
        ({"sample": {"percent": 0.001, "seed": "a"}}, "at most two decimals"),
        ({"sample": {"percent": float("nan"), "seed": "a"}}, "must be more than 0 and at most 100"),
        ({"sample": {"percent": 5, "seed": "ä"}}, "should match pattern"),
        ({"sample": {"percent": 5, "seed": ""}}, "at least 1 character"),
        ({"limit": {"n": 0}}, "greater than or equal to 1"),
        ({"limit": {"n": 5, "order_by": " desc"}}, "must be the name of a field or a metric"),
        ({"where": {"exclude": ["list:a"]}}, "a node has exactly one of"),
        ({"exclude": [{"any": [{"segment": "a"}] * 500}]}, "more than 500 nodes"),
    ],
)
def test_what_is_wrong_is_refused(parts: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match="validation error") as raised:
        segment(**parts)
    assert problem in str(raised.value)


def test_references_in_exclusions_are_followed() -> None:
    one = segment("one", exclude=["segment:two"])
    assert check_references({"one": one, "two": segment("two")}, ["one"]) == ["two", "one"]
    with pytest.raises(InvalidInput, match=r"refers to itself: (one -> two -> one|two -> one -> two)"):
        check_references({"one": one, "two": segment("two", where={"segment": "one"})})
    with pytest.raises(InvalidInput, match=r"segment one: exclude.0.not.segment: there is no segment 'two'"):
        check_references({"one": one})


def test_what_is_read_back_is_what_was_kept() -> None:
    drawn = segment(
        metrics={"m": {"event": "visit", "count": "events"}},
        where={"any": [{"list": "a"}, {"tag": ["b", "c"]}, {"reachable": "sms"}, {"engaged": {"what": "sent"}}]},
        exclude=["list:a", {"rfm": {"event": "visit", "recency": {"gte": 2}}}],
        sample={"percent": 12.5, "seed": "x"},
        limit={"n": 5, "order_by": "m desc"},
    )
    kept = drawn.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert Segment.model_validate(kept) == drawn
