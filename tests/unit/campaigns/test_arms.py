"""Who gets which variant: the order of the steps, seeds of their own, what sticks, and that others assign alike."""

import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from campaign_pipeline.campaigns.arms import assign
from campaign_pipeline.campaigns.assignment import bucket_ranges
from campaign_pipeline.campaigns.definition import NOT_IN_TEST, Campaign
from campaign_pipeline.campaigns.experiments_policy import ExperimentsPolicy
from campaign_pipeline.campaigns.first_assignments import SCHEMA, extended
from campaign_pipeline.campaigns.layers import clashes
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core import ids as names_of
from campaign_pipeline.core.hashing import buckets
from campaign_pipeline.core.words import RunState
from tests.unit.campaigns.conftest import AS_OF

IDS = pl.Series("contact_id", sorted(names_of.contact_id(f"person{n}") for n in range(20_000)))
NOBODY_KNOWN = pl.DataFrame(schema=SCHEMA)

MakeRun = Callable[..., Run]


def arms(**weights: float) -> list[dict[str, object]]:
    return [{"name": name, "weight": weight, "template": "t"} for name, weight in weights.items()]


def policy(percent: float = 10, **fields: object) -> ExperimentsPolicy:
    return ExperimentsPolicy.model_validate({"global_holdout": {"percent": percent, "seed": "2026H1"} | fields})


def of(status: str, assigned: pl.DataFrame) -> set[str]:
    return set(IDS.filter(assigned["status"] == status))


def test_equal_weights_equal_every_public_case(shared_data: Path) -> None:
    cases = json.loads((shared_data / "ref" / "growthbook_cases.json").read_text())["getEqualWeights"]
    assert len(cases) == 6
    for count, expected in cases:
        widths = [end - start for start, end in bucket_ranges([0.0] * max(count, 0))]
        assert np.allclose(widths, expected, atol=1e-9)


def test_all_steps_are_filters_of_a_growthbook_experiment(make_run: MakeRun) -> None:
    """As their SDKs do it: `filters` of (seed, ranges) with hash version 2, then the variant by the key."""
    design = {"name": "subject", "layer": "mails", "range": [0.25, 0.75], "coverage": 0.8}
    run = make_run(experiment=design, variants=arms(plain=1, emoji=3), holdout=10)
    found = assign(run, IDS, policy())
    filters = [
        ("2026H1:global_holdout", (0.1, 1)),
        ("mails:layer", (0.25, 0.75)),
        ("subject:coverage", (0, 0.8)),
        ("spring-sale:holdout", (0.1, 1)),
    ]
    included = np.ones(len(IDS), dtype=bool)
    for seed, (start, end) in filters:
        places = buckets(seed, IDS)
        included &= (places >= start) & (places < end)
    places = buckets("subject", IDS)
    expected = np.where(places < 0.25, "plain", "emoji")
    is_arm = found["variant"].is_in(["plain", "emoji"]).fill_null(value=False).to_numpy()
    assert (is_arm == included).all()
    assert (found["variant"].to_numpy()[included] == expected[included]).all()
    assert 0.25 < included.mean() < 0.4  # 0.9 * 0.5 * 0.8 * 0.9


def test_a_global_holdout_is_the_same_for_every_campaign_and_apart_from_their_own(make_run: MakeRun) -> None:
    one = assign(make_run(holdout=20), IDS, policy())
    two = assign(make_run(campaign="other", holdout=20), IDS, policy())
    assert of("held_out_globally", one) == of("held_out_globally", two)
    assert len(of("held_out_globally", one)) / len(IDS) == pytest.approx(0.1, abs=0.01)
    assert len(of("held_out", one)) / len(IDS) == pytest.approx(0.18, abs=0.015)
    assert not of("held_out_globally", one) & (of("held_out", one) | of("planned", one))
    assert of("held_out", one) != of("held_out", two)
    held = one.filter(pl.col("status") != "planned")
    assert held.select(pl.col("variant", "first_run_id", "reassigned_from").is_null().all()).row(0) == (True,) * 3


@pytest.mark.parametrize(
    ("fields", "of_campaign", "holds"),
    [
        ({}, {}, True),
        ({}, {"purpose": "orders"}, False),
        ({"purposes": ["marketing", "news"]}, {"purpose": "news"}, True),
        ({"since": date(2026, 3, 2)}, {}, True),  # the run is on that day
        ({"since": date(2026, 3, 3)}, {}, False),
        ({"until": date(2026, 3, 2)}, {}, False),
        ({"until": date(2026, 3, 3)}, {}, True),
        ({"percent": 0}, {}, False),
    ],
)
def test_a_global_holdout_holds_for_its_purposes_and_time(
    make_run: MakeRun, fields: dict[str, object], of_campaign: dict[str, object], holds: bool
) -> None:
    found = assign(make_run(**of_campaign), IDS, policy(**fields))
    assert bool(of("held_out_globally", found)) is holds


def test_who_is_not_in_the_test_is_sent_to_and_not_held_out(make_run: MakeRun) -> None:
    found = assign(make_run(experiment={"coverage": 0.5}, holdout=50, variants=arms(a=1, b=1)), IDS)
    outside = found.filter(pl.col("variant") == NOT_IN_TEST)
    assert outside["status"].unique().to_list() == ["planned"]
    assert outside.height / len(IDS) == pytest.approx(0.5, abs=0.015)
    assert len(of("held_out", found)) / len(IDS) == pytest.approx(0.25, abs=0.015)


def test_more_coverage_takes_in_others_and_changes_nobody(make_run: MakeRun) -> None:
    narrow, wide = (
        assign(make_run(experiment={"coverage": share}, variants=arms(a=1, b=1)), IDS)["variant"]
        for share in (0.3, 0.9)
    )
    in_both = narrow != NOT_IN_TEST
    assert narrow.filter(in_both).equals(wide.filter(in_both))
    assert (wide != NOT_IN_TEST).sum() > 2.5 * in_both.sum()


@pytest.mark.parametrize(("since", "until", "inside"), [(2, 3, True), (3, None, False), (None, 2, False)])
def test_outside_of_its_time_nobody_is_in_the_test(
    make_run: MakeRun, since: int | None, until: int | None, inside: bool
) -> None:
    days = {"since": since and date(2026, 3, since), "until": until and date(2026, 3, until)}
    found = assign(make_run(experiment=days, variants=arms(a=1, b=1)), IDS)
    assert (found["variant"] == NOT_IN_TEST).all() is not inside


def test_the_steps_are_independent_of_each_other(make_run: MakeRun) -> None:
    """Each pair of steps, on fixed ids: a chi-squared test of independence, at a level that chance rarely reaches."""
    shares = {
        seed: buckets(seed, IDS) < 0.5
        for seed in ("2026H1:global_holdout", "mails:layer", "subject:coverage", "spring-sale:holdout", "subject")
    }
    names = list(shares)
    for number, one in enumerate(names):
        for two in names[number + 1 :]:
            counts = np.histogram2d(shares[one], shares[two], bins=2)[0]
            assert chi2_contingency(counts, correction=False).pvalue > 0.001, (one, two)


def after(known: pl.DataFrame, run: Run, found: pl.DataFrame) -> pl.DataFrame:
    return extended(known, found.with_columns(contact_id=IDS), run.run_id)


def test_a_variant_stays_when_weights_change(make_run: MakeRun) -> None:
    first, later = make_run(variants=arms(a=1, b=1)), make_run(AS_OF.replace(day=9), variants=arms(a=1, b=9))
    before = assign(first, IDS, known=NOBODY_KNOWN)
    known = after(NOBODY_KNOWN, first, before).filter(pl.int_range(pl.len()) % 2 == 0)
    found = assign(later, IDS, known=known)
    old = IDS.is_in(known["contact_id"].implode())
    assert found["variant"].filter(old).equals(before["variant"].filter(old))
    assert found["first_run_id"].filter(old).unique().to_list() == [first.run_id]
    drawn = assign(later, IDS)
    assert found["variant"].filter(~old).equals(drawn["variant"].filter(~old))
    assert found["first_run_id"].filter(~old).null_count() == (~old).sum()
    assert (drawn["variant"] != before["variant"]).mean() == pytest.approx(0.4, abs=0.02)  # without that: 0.5 -> 0.1
    whole = after(known, later, found)
    assert whole["contact_id"].equals(IDS)
    assert assign(later, IDS, known=whole).equals(found)  # frozen anew


def test_a_variant_that_is_gone_is_drawn_anew_and_told(make_run: MakeRun) -> None:
    first, later = make_run(variants=arms(a=1, b=1, c=2)), make_run(AS_OF.replace(day=9), variants=arms(a=1, b=1))
    before = assign(first, IDS, known=NOBODY_KNOWN)
    known = after(NOBODY_KNOWN, first, before)
    found = assign(later, IDS, known=known)
    gone = before["variant"] == "c"
    assert found["reassigned_from"].filter(gone).unique().to_list() == ["c"]
    assert found["reassigned_from"].filter(~gone).null_count() == (~gone).sum()
    assert found["variant"].filter(gone).equals(assign(later, IDS)["variant"].filter(gone))
    assert found["first_run_id"].filter(gone).null_count() == gone.sum()
    whole = after(known, later, found)
    assert assign(later, IDS, known=whole).equals(found)  # frozen anew: it still says from what
    third = assign(make_run(AS_OF.replace(day=16), variants=arms(a=1, b=1)), IDS, known=whole)
    assert third["variant"].equals(found["variant"])
    assert third["reassigned_from"].null_count() == len(IDS)  # told once, by the run that did it
    assert set(third["first_run_id"].filter(gone)) == {later.run_id}


part = st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda each: each[0] < each[1])


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(part, min_size=2, max_size=5), times=st.data())
def test_no_contact_is_in_two_experiments_of_a_layer_that_may_be_applied(
    parts: Sequence[tuple[int, int]], times: st.DataObject
) -> None:
    """Whatever passes the check at apply: at any time a contact is in one of the layer's experiments at most."""
    accepted: list[Campaign] = []
    for number, (start, end) in enumerate(parts):
        since, until = sorted(times.draw(st.lists(st.integers(1, 28), min_size=2, max_size=2, unique=True)))
        days = {"since": date(2026, 3, since), "until": date(2026, 3, until)}
        given: dict[str, Any] = {
            "campaign": f"c{number}",
            "channel": "email",
            "segment": "all",
            "variants": arms(a=1, b=1),
            "experiment": {"layer": "mails", "range": [start / 100, end / 100], **days},
        }
        campaign = Campaign.model_validate(given)
        if not list(clashes(campaign, accepted)):
            accepted.append(campaign)
    some = IDS.head(300)
    for day in range(1, 29):
        as_of = AS_OF.replace(day=day)
        in_test = [
            (assign(_run(campaign, as_of), some)["variant"] != NOT_IN_TEST).cast(pl.Int8) for campaign in accepted
        ]
        assert max(sum(each) for each in zip(*in_test, strict=True)) <= 1


def _run(campaign: Campaign, as_of: Any) -> Run:
    return Run(names_of.run_id(campaign.campaign, as_of), as_of, RunState.RUNNING, "", "", as_of, None, campaign)


def test_all_of_a_layer_is_shared_out(make_run: MakeRun) -> None:
    """Half-open parts leave nobody out, and nobody in two."""
    parts = [[0, 0.3], [0.3, 0.31], [0.31, 1]]
    inside = [
        assign(make_run(experiment={"layer": "mails", "range": each}, variants=arms(a=1, b=1)), IDS)["variant"]
        != NOT_IN_TEST
        for each in parts
    ]
    assert [sum(each) for each in zip(*inside, strict=True)] == [1] * len(IDS)
