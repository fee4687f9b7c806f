"""Adjusted p-values: what is left of p when several treatments are compared with the control."""

from collections.abc import Mapping

from campaign_pipeline.analytics.experiments.design import Correction


def adjusted(p_values: Mapping[str, float | None], correction: Correction) -> dict[str, float | None]:
    """Adjusted p by name; what has no p keeps none, and is no member of the family.

    Holm (1979), step down: the largest of (m - i) p(i) so far. Benjamini and Hochberg (1995), step up.
    """
    known = sorted((p, name) for name, p in p_values.items() if p is not None)
    result: dict[str, float | None] = dict.fromkeys(p_values)
    match correction:
        case Correction.NONE:
            result |= {name: p for p, name in known}
        case Correction.HOLM:
            largest = 0.0
            for rank, (p, name) in enumerate(known):
                largest = max(largest, min((len(known) - rank) * p, 1.0))
                result[name] = largest
        case Correction.BENJAMINI_HOCHBERG:
            from scipy.stats import false_discovery_control

            values = false_discovery_control([p for p, _ in known]) if known else []
            result |= {name: float(value) for (_, name), value in zip(known, values, strict=True)}
    return result
