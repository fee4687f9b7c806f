"""Definition files: every mistake is named with file, line and field."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from campaign_pipeline.core.definitions import MAX_DEPTH, MAX_VALUES, Definition, read_definition, read_yaml
from campaign_pipeline.core.errors import InvalidDefinition


class Arm(Definition):
    name: str
    weight: float = Field(gt=0)


class Once(Definition):
    at: str


class Again(Definition):
    every: int


class Plan(Definition):
    plan: str
    arms: tuple[Arm, ...] = ()
    labels: dict[str, int] = Field(default_factory=dict)
    when: Once | Again | None = None


GOOD = """\
# a comment
plan: spring

arms:
  - name: plain
    weight: 1
  - {name: emoji, weight: 2}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plan.yaml"


def mistake(file: Path, text: str | bytes) -> InvalidDefinition:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidDefinition) as caught:
        read_definition(file, Plan)
    return caught.value


def test_a_good_file_becomes_its_model(file: Path) -> None:
    file.write_text(GOOD)
    expected = Plan(plan="spring", arms=(Arm(name="plain", weight=1), Arm(name="emoji", weight=2)))
    assert read_definition(file, Plan) == expected


def test_a_definition_does_not_change() -> None:
    plan = Plan(plan="spring")
    with pytest.raises(ValidationError, match="frozen"):
        plan.plan = "autumn"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("text", "line", "field", "problem"),
    [
        ("plan: [spring", 1, "", "expected ',' or ']'"),
        ("plan: spring\n\tarms: 1", 2, "", "'\\t' that cannot start any token"),
        ("plan: a\n---\nplan: b\n", 2, "", "another document"),
        ("plan: a\narms: !!python/tuple [1]\n", 2, "", "could not determine a constructor"),
        ("plan: a\n[1, 2]: b\n", 2, "", "a key must be a single word"),
        ("plan: a\narms:\n  - name: 2026-02-30\n", 3, "", "'2026-02-30' cannot be read: day is out of range"),
        (f"plan: {'1' * 5000}\n", 1, "", "Exceeds the limit"),
        ("plan: spring\narms: []\nplan: autumn\n", 3, "plan", "is given twice"),
        (GOOD + "arms2: 1\n", 8, "arms2", "is not a field here"),
        (GOOD.replace("{name", "{nmae: x, name"), 7, "arms.1.nmae", "is not a field here"),
        ("arms: []\n", 1, "plan", "is missing"),
        (GOOD.replace("    weight: 1\n", ""), 5, "arms.0.weight", "is missing"),
        (GOOD.replace("weight: 1", "weight: heavy"), 6, "arms.0.weight", "(it is 'heavy')"),
        (GOOD.replace("weight: 2", "weight: -1"), 7, "arms.1.weight", "Input should be greater than 0 (it is -1)"),
        ("plan: spring\narms:\n  - plain\n", 3, "arms.0", "must be a mapping of fields to values"),
        ("plan: spring\narms: plain\n", 2, "arms", "(it is 'plain')"),
        ("plan: spring\nlabels:\n  a: 1\n  b: many\n", 4, "labels.b", "(it is 'many')"),
        ("plan: spring\nwhen:\n  at: 9\n", 3, "when.at", "Input should be a valid string (it is 9)"),
        ("", 1, "", "must be a mapping of fields to values"),
        ("- plan: spring\n", 1, "", "must be a mapping of fields to values"),
    ],
)
def test_a_mistake_is_named_with_line_and_field(file: Path, text: str, line: int, field: str, problem: str) -> None:
    error = mistake(file, text)
    assert (error.line, error.field) == (line, field)
    assert problem in error.problem
    assert error.message.startswith(f"{file}:{line}: {field}: " if field else f"{file}:{line}: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"plan: Fr\xfchling\n", "is not UTF-8 text"),
        (b"plan: a\x00b\n", "is not YAML"),
        ("[" * 5_000, "is nested too deeply"),
        ("plan: &again [*again]\n", "is nested too deeply"),
        ("arms: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "is nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_named(file: Path, content: str | bytes, problem: str) -> None:
    error = mistake(file, content)
    assert (error.line, error.problem) == (0, problem)
    assert error.message == f"{file}: {problem}"


def test_aliases_that_multiply_are_refused_at_once(file: Path) -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    assert mistake(file, laughs).problem == f"holds more than {MAX_VALUES:,} values"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match=r"gone\.yaml: cannot be read: No such file"):
        read_definition(tmp_path / "gone.yaml", Plan)


def test_of_several_problems_the_first_is_named_and_the_others_are_counted(file: Path) -> None:
    error = mistake(file, "arms:\n  - {name: a, weight: 0}\n  - {name: b, wait: 1}\n")
    assert error.field == "plan"
    assert error.problem == "is missing (and 3 more in this file)"


def test_a_long_value_is_not_repeated(file: Path) -> None:
    error = mistake(file, f"plan: a\nlabels:\n  a: {'x' * 61}\n")
    assert error.field == "labels.a"
    assert "it is" not in error.problem


def test_merged_keys_may_be_overridden(file: Path) -> None:
    file.write_text("plan: p\narms:\n  - &first {name: a, weight: 1}\n  - {<<: *first, name: b}\n")
    assert [(arm.name, arm.weight) for arm in read_definition(file, Plan).arms] == [("a", 1), ("b", 1)]


def test_norway_is_no_boolean(file: Path) -> None:
    file.write_text("country: NO\nactive: true\n")
    assert read_yaml(file)[0] == {"country": "NO", "active": True}


words = st.text(st.sampled_from("abcdefghij"), min_size=1, max_size=6).filter(lambda word: word != "no")
trees = st.recursive(
    st.integers(-9, 9) | words,
    lambda inner: st.dictionaries(words, inner, min_size=1, max_size=4) | st.lists(inner, min_size=1, max_size=4),
    max_leaves=12,
)


def places(tree: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())
    return [(*at, key) for key, _ in inner] + [place for key, child in inner for place in places(child, (*at, key))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(tree=st.dictionaries(words, trees, min_size=1, max_size=5), flow=st.sampled_from([False, None]))
def test_every_key_has_the_line_that_it_stands_in(file: Path, tree: dict[str, Any], flow: bool | None) -> None:
    file.write_text("# head\n\n" + yaml.safe_dump(tree, default_flow_style=flow, sort_keys=False, width=1000))
    data, lines = read_yaml(file)
    written = file.read_text().splitlines()
    assert data == tree
    assert set(lines) == {(), *places(tree)}
    for place, line in lines.items():
        if place and isinstance(place[-1], str):
            assert f"{place[-1]}:" in written[line - 1]
    blocks = [line for place, line in lines.items() if len(place) == 1]
    # Block style gives each key of the file a line of its own; otherwise a file of plain values is one line.
    assert blocks == sorted(set(blocks) if flow is False else blocks)
