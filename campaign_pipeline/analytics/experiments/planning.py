"""How many units a test needs, what it can detect, and how likely it is to: before it starts, and while it runs.

Two-sided tests of each treatment against control. With several treatments each is planned at alpha / their number,
which is enough for Holm's procedure, and the smallest one counts. Proportions: the z-test's pooled variance under no
difference and the unpooled one under the alternative (Fleiss, Statistical Methods for Rates and Proportions, 3.3).
Means and ratios: the variance of one unit, the same in both arms, by the normal distribution. Sequential tests are
planned for their last look, at N* units: they reject with at least this power, and often sooner.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign_pipeline.analytics.experiments.sequential import critical_value
from campaign_pipeline.analytics.statistics import z_of
from campaign_pipeline.core.errors import InvalidInput


@dataclass(frozen=True)
class Plan:
    """`mean` is the control's rate or mean, `variance` that of one unit (None: a proportion), `shares` by variant."""

    mean: float
    variance: float | None
    control: str
    shares: Mapping[str, float]
    alpha: float = 0.05
    power: float = 0.8
    sequential: bool = False

    def __post_init__(self) -> None:
        if self.variance is None and not 0 < self.mean < 1:
            raise InvalidInput(f"a baseline of {self.mean:g} is not a rate between 0 and 1", "5 % is written 0.05.")
        if self.variance is not None and self.variance <= 0:
            raise InvalidInput("the spread of the baseline must be more than 0")
        if self.control not in self.shares or len(self.shares) < 2:
            raise InvalidInput("a test needs a control and at least one other arm")
        if any(share <= 0 or not math.isfinite(share) for share in self.shares.values()):
            raise InvalidInput(f"weights must be positive: {dict(self.shares)}")
        for name, value in (("alpha", self.alpha), ("power", self.power)):
            if not 0 < value < 1:
                raise InvalidInput(f"{name} must be between 0 and 1, not {value:g}")

    @property
    def alpha_each(self) -> float:
        """The level at which each treatment is tested."""
        return self.alpha / (len(self.shares) - 1)

    @property
    def critical(self) -> float:
        """How many standard errors a difference must reach."""
        return critical_value(1, 1, self.alpha_each) if self.sequential else z_of(self.alpha_each)

    def power_at(self, difference: float, units: float) -> float:
        """The probability to find an absolute `difference` with `units` in all arms together, for the smallest arm."""
        from scipy.stats import norm

        null, alternative = self._spreads(difference)
        scale = math.sqrt(units)
        reach = (abs(difference) * scale - self.critical * null) / alternative
        other = (-abs(difference) * scale - self.critical * null) / alternative
        return float(norm.cdf(reach) + norm.cdf(other))

    def units_for(self, difference: float) -> int:
        """The units that all arms together need to find an absolute `difference` with `power`."""
        from scipy.stats import norm

        if not difference:
            raise InvalidInput("no number of units finds a difference of 0")
        null, alternative = self._spreads(difference)
        root = (self.critical * null + float(norm.ppf(self.power)) * alternative) / abs(difference)
        return math.ceil(root**2)

    def detectable(self, units: float) -> float | None:
        """The smallest increase that `units` find with `power`; None: of a rate, not even up to 1."""
        from scipy.optimize import brentq

        if units <= 0:
            return None
        if self.variance is not None:
            from scipy.stats import norm

            spread = self._spreads(0)[0]
            return (self.critical + float(norm.ppf(self.power))) * spread / math.sqrt(units)
        top = (1 - self.mean) * (1 - 1e-9)
        if self.power_at(top, units) < self.power:
            return None

        def excess(difference: float) -> float:
            return self.power_at(difference, units) - self.power

        found: Any = brentq(excess, 1e-12, top, xtol=1e-12)
        return float(found)

    def by_arm(self, units: int) -> dict[str, int]:
        """`units` by variant, each rounded up."""
        scale = sum(self.shares.values())
        return {variant: math.ceil(units * share / scale - 1e-9) for variant, share in self.shares.items()}

    def _spreads(self, difference: float) -> tuple[float, float]:
        """Standard errors of the difference from one unit in all: without and with the difference."""
        scale = sum(self.shares.values())
        control = self.shares[self.control] / scale
        treatment = min(share for variant, share in self.shares.items() if variant != self.control) / scale
        if self.variance is not None:
            spread = math.sqrt(self.variance * (1 / control + 1 / treatment))
            return spread, spread
        rate = self.mean + difference
        if not 0 <= rate <= 1:
            raise InvalidInput(f"a rate of {self.mean:g} cannot change by {difference:+g}: it would be {rate:g}")
        unpooled = math.sqrt(self.mean * (1 - self.mean) / control + rate * (1 - rate) / treatment)
        if self.sequential:  # its standard error is the unpooled one
            return unpooled, unpooled
        pooled = (self.mean * control + rate * treatment) / (control + treatment)
        return math.sqrt(pooled * (1 - pooled) * (1 / control + 1 / treatment)), unpooled
