"""Definitions as JSON: read as JSON is, and with errors that name the line as in YAML."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.core.definitions import read_yaml
from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.segments.definition import read_segment_file

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def write(folder: Path, text: str) -> Path:
    file = folder / "definition.json"
    file.write_text(text, encoding="utf-8")
    return file


@given(value=VALUES, indent=st.sampled_from([None, 2, "\t"]), ascii_only=st.booleans())
def test_json_is_read_as_json(
    tmp_path_factory: pytest.TempPathFactory, value: Any, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps({"value": value}, indent=indent, ensure_ascii=ascii_only)
    data, lines = read_yaml(write(tmp_path_factory.mktemp("json"), text))
    assert data == {"value": value}
    assert lines[()] == 1


def test_what_yaml_reads_in_another_way_is_read_as_json_has_it(tmp_path: Path) -> None:
    text = '{"number": 1e3, "slash": "a\\/b", "pair": "\\ud83d\\ude00", "date": "2026-03-02",\n\t"yes": "NO"}'
    data, lines = read_yaml(write(tmp_path, text))
    assert data == {"number": 1000.0, "slash": "a/b", "pair": "😀", "date": "2026-03-02", "yes": "NO"}
    assert lines["yes",] == 2


def test_a_segment_is_the_same_in_json(tmp_path: Path) -> None:
    where = {"all": [{"trait": {"field": "country", "in": ["DE", "NO"]}}, {"list": "vips"}]}
    segment = read_segment_file(write(tmp_path, json.dumps({"segment": "s", "where": where}, indent="\t")))
    written = tmp_path / "segment.yaml"
    written.write_text("segment: s\nwhere: {all: [{trait: {field: country, in: [DE, NO]}}, {list: vips}]}\n")
    assert segment == read_segment_file(written)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('{\n  "segment": "s",\n  "where": {"trait": {"field": "a"}}\n}', 3, "where.trait: no operator"),
        ('{\n\t"segment": "s",\n\t"where": {\n\t\t"trial": {}\n\t}\n}', 3, "where: trial: a node has exactly one of"),
        ('{\n  "segment": "s",\n  "segment": "t"\n}', 3, "segment: is given twice"),
        ('{\n  "segment": "s"\n  "where": 1}', 3, "is not JSON: Expecting ',' delimiter"),
        ("segment: s\n", 1, "is not JSON: Expecting value"),
        ("", 1, "is not JSON: Expecting value"),
        ('{"segment": "s", "where": {"trait": {"field": "a", "gt": NaN}}}', 0, "NaN is not JSON"),
        ('{"segment": "s", "where": {"trait": {"field": "a", "gt": 1e999}}}', 1, "is too large a number"),
        ('{"a": "\\\\/", "b"\n: 1, "b": 2}', 0, "a key is given twice in one object"),
        ("[" * 100_000, 0, "is nested too deeply"),
        ('{"segment": "s", "where": ' + "[" * 200 + "]" * 200 + "}", 0, "is nested too deeply"),
        ("\ufeff{}", 1, "is not JSON: Unexpected UTF-8 BOM"),
    ],
)
def test_an_error_names_line_and_problem(tmp_path: Path, text: str, line: int, problem: str) -> None:
    with pytest.raises(InvalidDefinition) as raised:
        read_segment_file(write(tmp_path, text))
    assert problem in raised.value.message
    assert raised.value.line == line
