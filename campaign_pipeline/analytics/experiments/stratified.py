"""The result of a roll-out over all of its parts: the variants are compared within each part, then put together.

The shares of the variants change from part to part, and so may the rates (hours, news, who is left): one sample of all
parts would take the difference between parts for one between variants (Simpson's paradox). Within a part everybody is
assigned by the same shares, so each part's difference is fair.

Formula: sum of w (mean - control's mean) over the parts, w a part's share of the units; its variance is the sum of w^2
(sd^2 + control's sd^2). Source: Miratrix, Sekhon and Yu, *Adjusting treatment effect estimates by post-stratification*
(2013); GrowthBook weights the periods of its bandits alike.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaign_pipeline.analytics.experiments.posteriors import Posterior, posterior_of
from campaign_pipeline.analytics.statistics import ALPHA, Error, Sample, z_of

STRATIFIED: dict[str, Any] = {  # grain: variant, the control first
    "metric": pl.String,
    "variant": pl.String,
    "is_control": pl.Boolean,
    "parts": pl.Int64,  # in which it can be compared
    "units": pl.Int64,  # of the variant, in these parts
    "mean": pl.Float64,  # the parts weighed by their sizes
    "absolute": pl.Float64,  # variant less control
    "absolute_low": pl.Float64,
    "absolute_high": pl.Float64,
    "standard_error": pl.Float64,
    "p": pl.Float64,  # two-sided, normal, for one look that was fixed before
    "error": pl.String,  # '' or statistics.Error: why there is no figure
}


@dataclass(frozen=True)
class _Part:
    size: int  # units of all variants
    units: Mapping[str, int]
    arms: Mapping[str, Posterior]  # without those of which too little is known


def over_parts(parts: Sequence[pl.DataFrame], alpha: float = ALPHA) -> pl.DataFrame:
    """STRATIFIED, from the goal's result rows (schemas.AB_RESULTS) of each part; no rows where no part has any.

    A part in which a variant or the control has no figure is left out of that variant's comparison.
    """
    known = [rows for rows in parts if rows.height]
    if not known:
        return pl.DataFrame(schema=STRATIFIED)
    control = known[0].filter("is_control")["variant"][0]
    names = list(dict.fromkeys(name for rows in known for name in rows["variant"]))
    read = [_read(rows) for rows in known]
    rows = [_row(name, control, read, alpha) | {"metric": known[0]["metric"][0]} for name in names]
    return pl.DataFrame(rows, schema=STRATIFIED).sort("is_control", descending=True, maintain_order=True)


def _read(rows: pl.DataFrame) -> _Part:
    share = rows["metric_type"][0] == "proportion"
    arms = {
        row["variant"]: posterior_of(Sample(row["n"], row["mean"], row["variance"]), share=share)
        for row in rows.iter_rows(named=True)
    }
    units = dict(rows.select("variant", "units").iter_rows())
    return _Part(sum(units.values()), units, {name: each for name, each in arms.items() if each})


def _row(name: str, control: str, parts: Sequence[_Part], alpha: float) -> dict[str, Any]:
    used = [part for part in parts if name in part.arms and control in part.arms]
    row: dict[str, Any] = {
        "variant": name,
        "is_control": name == control,
        "parts": len(used),
        "units": sum(part.units[name] for part in used),
        "error": "" if used else Error.NO_UNITS.value,
    }
    if not used:
        return row
    total = sum(part.size for part in used)
    shares = [part.size / total for part in used]
    pairs = [(part.arms[name], part.arms[control]) for part in used]
    row["mean"] = sum(w * arm.mean for w, (arm, _) in zip(shares, pairs, strict=True))
    if name == control:
        return row
    absolute = sum(w * (arm.mean - base.mean) for w, (arm, base) in zip(shares, pairs, strict=True))
    error = math.hypot(*(w * sd for w, pair in zip(shares, pairs, strict=True) for sd in (pair[0].sd, pair[1].sd)))
    half = z_of(alpha) * error
    return row | {
        "absolute": absolute,
        "absolute_low": absolute - half,
        "absolute_high": absolute + half,
        "standard_error": error,
        "p": math.erfc(abs(absolute) / error / math.sqrt(2)),
    }
