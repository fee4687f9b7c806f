"""Thompson sampling in batches: each arm's share of the next batch is its probability to be the best one."""

from collections.abc import Mapping

from campaign_pipeline.analytics.experiments.posteriors import Posterior, best, top_two
from campaign_pipeline.core.errors import InvalidInput

FLOOR = 0.01


def thompson_weights(
    arms: Mapping[str, Posterior], *, floor: float = FLOOR, lower_is_better: bool = False, second: bool = False
) -> dict[str, float]:
    """The share of each arm in the next batch; they add up to 1.

    `floor + (1 - number of arms * floor) * P(best)`: additive, so that every arm goes on to be learned of, as
    GrowthBook has it. `second` spreads over the best two (top-two sampling), for three or more arms when knowing the
    best matters more than what the test itself brings. The probabilities are integrals, so no seed is needed.
    """
    if not arms:
        raise InvalidInput("there are no arms to share a batch among")
    if not 0 <= floor * len(arms) <= 1:
        raise InvalidInput(f"a floor of {floor} for each of {len(arms)} arms is not within 0 and 1 in all")
    chances = (top_two if second else best)(arms, lower_is_better=lower_is_better)
    return {name: floor + (1 - len(arms) * floor) * chance for name, chance in chances.items()}
