"""References between segments: order, cycles, missing targets, and growth."""

from itertools import pairwise
from typing import Any

import pytest

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.references import check_references

LEAF = {"trait": {"field": "vip", "eq": True}}


def library(**where: Any) -> dict[str, Segment]:
    return {name: Segment.model_validate({"segment": name, "where": tree}) for name, tree in where.items()}


def test_targets_come_before_what_refers_to_them() -> None:
    found = check_references(library(a={"not": {"segment": "b"}}, b={"any": [{"segment": "c"}, LEAF]}, c=LEAF))
    assert found == ["c", "b", "a"]


def test_only_what_is_asked_for_is_checked() -> None:
    assert check_references(library(a=LEAF, broken={"segment": "gone"}), ["a"]) == ["a"]


def test_a_missing_target_is_an_error_with_its_place_and_the_nearest_name() -> None:
    with pytest.raises(InvalidInput) as raised:
        check_references(library(a={"all": [LEAF, {"not": {"segment": "employes"}}]}, employees=LEAF))
    assert raised.value.message == "segment a: where.all.1.not.segment: there is no segment 'employes'"
    assert raised.value.hint == "Did you mean 'employees'?"


def test_a_cycle_is_an_error_with_its_path() -> None:
    cycle = library(a={"segment": "b"}, b={"not": {"segment": "c"}}, c={"all": [LEAF, {"segment": "a"}]}, d=LEAF)
    with pytest.raises(InvalidInput, match="refers to itself") as raised:
        check_references(cycle)
    path = raised.value.message.split(": ")[-1].split(" -> ")
    assert path[0] == path[-1]
    assert set(path) == {"a", "b", "c"}
    follows = {"a": "b", "b": "c", "c": "a"}
    assert all(follows[one] == other for one, other in pairwise(path))


def test_a_segment_that_refers_to_itself_is_a_cycle() -> None:
    with pytest.raises(InvalidInput, match="a -> a"):
        check_references(library(a={"segment": "a"}))


def test_segments_that_multiply_by_reference_are_refused() -> None:
    trees: dict[str, Any] = {"s0": LEAF}
    trees |= {f"s{n}": {"any": [{"segment": f"s{n - 1}"}] * 10} for n in range(1, 5)}
    with pytest.raises(InvalidInput, match=r"more than 500 nodes \(with the segments it refers to"):
        check_references(library(**trees))


def test_a_long_chain_of_references_is_refused() -> None:
    trees: dict[str, Any] = {"s0": LEAF} | {f"s{n}": {"segment": f"s{n - 1}"} for n in range(1, 30)}
    with pytest.raises(InvalidInput, match="more than 20 levels deep"):
        check_references(library(**trees))
