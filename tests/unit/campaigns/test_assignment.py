"""The public hash: every conformance case, and that it splits as it says."""

import json
from pathlib import Path

import numpy as np
import pytest

from campaign_pipeline.campaigns.assignment import NOBODY, bucket_ranges, choose_variants
from campaign_pipeline.core.hashing import AT_ONCE, buckets, fnv1a


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> dict[str, list]:
    return json.loads((shared_data / "ref" / "growthbook_cases.json").read_text())


def test_the_hash_equals_every_public_case(cases: dict[str, list]) -> None:
    checked = 0
    for seed, text, version, expected in cases["hash"]:
        if expected is None:
            with pytest.raises(ValueError, match="hash version 99"):
                buckets(seed, [text], version)
        else:
            assert buckets(seed, [text], version).tolist() == [expected]
            checked += 1
    assert checked == 14


def test_bucket_ranges_equal_every_public_case(cases: dict[str, list]) -> None:
    for name, (count, coverage, weights), expected in cases["getBucketRange"]:
        ranges = bucket_ranges(weights if weights and len(weights) == count else [1 / count] * count, coverage)
        assert np.allclose(ranges, expected, atol=1e-9), name


def test_the_choice_equals_every_public_case(cases: dict[str, list]) -> None:
    for name, place, ranges, expected in cases["chooseVariation"]:
        chosen = choose_variants(np.array([place]), [tuple(each) for each in ranges])
        assert chosen.tolist() == [expected], name


def test_a_namespace_is_a_range_of_the_same_hash(cases: dict[str, list]) -> None:
    for name, user, (namespace, start, end), expected in cases["inNamespace"]:
        place = buckets(f"__{namespace}", [user], version=1)[0]
        assert bool(start <= place < end) is expected, name


def test_ids_of_different_lengths_hash_together_as_they_do_alone() -> None:
    ids = ["", "a", "ab", "c" * 40, "123"]
    assert buckets("seed", ids).tolist() == [buckets("seed", [one])[0] for one in ids]


@pytest.mark.parametrize("version", [1, 2])
def test_many_ids_hash_as_the_specification_has_it_for_one(version: int) -> None:
    ids = ["", "0", "x\0", *(f"{n:x}" * (n % 4) for n in range(AT_ONCE + 3))]
    inner = [fnv1a(f"seed{one}") for one in ids]
    expected = [fnv1a(str(one)) % 10_000 / 10_000 for one in inner]
    if version == 1:
        expected = [fnv1a(f"{one}seed") % 1000 / 1000 for one in ids]
    assert buckets("seed", ids, version).tolist() == expected


def test_shares_are_what_the_weights_say() -> None:
    places = buckets("spring-sale", [f"contact-{n}" for n in range(200_000)])
    chosen = choose_variants(places, bucket_ranges([0.2, 0.3, 0.5]))
    shares = np.bincount(chosen, minlength=3) / len(chosen)
    assert np.abs(shares - [0.2, 0.3, 0.5]).max() < 0.004  # four standard deviations
    assert NOBODY not in chosen


def test_an_id_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        buckets("seed", ["Zoë"])
