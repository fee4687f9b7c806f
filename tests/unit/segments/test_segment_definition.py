"""Segment files: what is accepted, and that errors name file, line, field and the way out."""

from pathlib import Path

import pytest

from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.segments.definition import Segment, read_segment_file, walk
from campaign_pipeline.segments.references import check_references
from campaign_pipeline.segments.tree import says

LAPSED = """\
segment: lapsed_buyers
description: Bought twice, not lately
timezone: Europe/Berlin
where:
  all:
    - trait: {field: country, in: [DE, AT]}
    - did: {event: purchase, count: {gte: 2}, sum: {prop: amount, gte: 99.5}, within: 365d,
            where: [{prop: category, ne: shoes}]}
    - not: {did: {event: purchase, since: 2026-01-01}}
    - any:
        - trait: {field: vip, is_set: false}
        - segment: employees
"""


def read(tmp_path: Path, text: str) -> Segment:
    file = tmp_path / "segment.yaml"
    file.write_text(text)
    return read_segment_file(file)


def test_a_segment_file_is_read_line_by_line(tmp_path: Path) -> None:
    segment = read(tmp_path, LAPSED)
    assert [(line.path, line.depth, says(line.node)) for line in walk(segment)] == [
        ("where", 0, "all of"),
        ("where.all.0", 1, "country is one of DE, AT"),
        (
            "where.all.1",
            1,
            "did purchase at least 2 times with a total amount at least 99.5 within 365d where category is not shoes",
        ),
        ("where.all.2", 1, "not"),
        ("where.all.2.not", 2, "did purchase since 2026-01-01"),
        ("where.all.3", 1, "any of"),
        ("where.all.3.any.0", 2, "vip is not set"),
        ("where.all.3.any.1", 2, "in segment employees"),
    ]


@pytest.mark.parametrize(
    ("where", "line", "problem"),
    [
        (
            "where: {trait: {field: a, eq: 1}, did: {event: x}}",
            2,
            "where: trait, did: a node has exactly one of all, any, not, trait, did, ",
        ),
        ("where:\n  all:\n    - {trial: {field: a}}", 4, "where.all.0: trial: a node has exactly one of"),
        ("where: {trial: {field: a}}", 2, "did you mean trait?"),
        ("where: {}", 2, "where: nothing: a node has exactly one of"),
        ("where: [1]", 2, "where: a node is a mapping with exactly one of"),
        ("where: {not: null}", 2, "where.not: a node is a mapping"),
        ("where: {any: []}", 2, "where.any: is empty: at least one is needed"),
        ("where:\n  not:\n    trait: {field: a}", 4, "where.not.trait: no operator: exactly one is needed of eq,"),
        ("where: {trait: {field: a, eq: 1, gt: 2}}", 2, "where.trait: eq, gt: exactly one is needed of"),
        ("where: {trait: {field: a, equals: 1}}", 2, "where.trait.equals: is not a field here"),
        ("where: {trait: {field: a, in: []}}", 2, "where.trait.in: is empty"),
        ("where: {trait: {field: a, in: [[1]]}}", 2, "where.trait.in.0: must be text, a number, true or false"),
        ("where: {trait: {field: a, in: [null]}}", 2, "use is_set: false"),
        ("where: {trait: {field: a, eq: .inf}}", 2, "where.trait.eq: is too large a number"),
        ("where: {trait: {field: a, eq: 9223372036854775808}}", 2, "where.trait.eq: is too large a number"),
        ('where: {trait: {field: a, eq: "\\0"}}', 2, "where.trait.eq: contains a NUL character"),
        ("where: {did: {within: 1d}}", 2, "where.did.event: is missing"),
        ("where: {did: {event: a, within: 90 days}}", 2, "where.did.within: is not a duration of at most 100 years"),
        ("where: {did: {event: a, within: 0d}}", 2, "where.did.within: is not a duration"),
        ("where: {did: {event: a, within: 99999w}}", 2, "where.did.within: is not a duration"),
        ("where: {did: {event: a, since: yesterday}}", 2, "where.did.since: 'yesterday' is not an ISO date"),
        ("where: {did: {event: a, since: 0001-01-01}}", 2, "where.did.since: '0001-01-01' is not between 1900"),
        ("where: {did: {event: a, count: {gte: 1.5}}}", 2, "where.did.count: 1.5: a count is a whole number"),
        ("where: {did: {event: a, count: {gte: 1, lt: 3}}}", 2, "where.did.count: gte, lt: exactly one"),
        ("where: {did: {event: a, sum: {gte: 5}}}", 2, "where.did.sum.prop: is missing"),
        ("where: {did: {event: a, sum: {prop: b, gte: 0.0000001}}}", 2, "at most six decimals"),
        ("where: {segment: Foo}", 2, "where.segment: segment name 'Foo' is not usable"),
        ("timezone: Mars/Base\nwhere: {segment: a}", 2, "timezone: is not a time zone such as Europe/Berlin"),
        ("timezone: ../../etc\nwhere: {segment: a}", 2, "timezone: is not a time zone"),
        ("where: " + "{not: " * 20 + "{segment: a}" + "}" * 20, 1, "where: is more than 20 levels deep"),
        ("where: {any: [" + "{segment: a}, " * 500 + "]}", 1, "where: has more than 500 nodes"),
    ],
)
def test_an_error_names_line_field_and_problem(tmp_path: Path, where: str, line: int, problem: str) -> None:
    with pytest.raises(InvalidDefinition) as raised:
        read(tmp_path, f"segment: s\n{where}\n")
    assert raised.value.line == line
    assert problem in raised.value.message
    assert "more in this file" not in raised.value.message


def test_twenty_levels_and_five_hundred_nodes_are_accepted(tmp_path: Path) -> None:
    read(tmp_path, "segment: s\nwhere: " + "{not: " * 19 + "{segment: a}" + "}" * 19)
    read(tmp_path, "segment: s\nwhere: {any: [" + "{segment: a}, " * 499 + "]}")


def test_a_date_without_quotes_is_the_text_that_was_written(tmp_path: Path) -> None:
    quoted = read(tmp_path, "segment: s\nwhere: {trait: {field: birthday, lt: '2000-01-01'}}")
    assert read(tmp_path, "segment: s\nwhere: {trait: {field: birthday, lt: 2000-01-01}}") == quoted


def test_the_sample_segments_are_valid_and_refer_to_each_other() -> None:
    files = sorted((SAMPLE_DEFINITIONS_DIR / "segments").glob("*.yaml"))
    library = {file.stem: read_segment_file(file) for file in files}
    assert {"recent_buyers", "lapsed_members", "vip_customers"} <= set(library)
    assert [segment.segment for segment in library.values()] == list(library)
    check_references(library)
