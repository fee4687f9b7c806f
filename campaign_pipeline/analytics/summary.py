"""The result of a test in plain words: what a marketer reads first, and may repeat."""

from typing import Any

import polars as pl

from campaign_pipeline.analytics.experiments.decisions import Decision


def summarise(results: pl.DataFrame) -> str:
    """One sentence for each treatment on the goal metric of `results` (schemas.AB_RESULTS); '' without results.

    It claims a difference only where the decision rule does, and says first when the figures cannot be trusted.
    """
    goal = results.filter(pl.col("is_goal"))
    control = goal.filter(pl.col("is_control"))
    treatments = goal.filter(~pl.col("is_control"))
    if control.is_empty() or treatments.is_empty():
        return ""
    base = control.row(0, named=True)
    rows = list(treatments.iter_rows(named=True))
    if rows[0]["decision"] == Decision.BLOCKED_SRM:
        return (
            "Do not trust these figures: the variants' sizes are not as planned "
            f"(sample ratio p {p_text(base['srm_seq_p'])}). Find out who is missing before reading on."
        )
    return " ".join(_sentence(row, base) for row in rows)


def _sentence(row: dict[str, Any], base: dict[str, Any]) -> str:
    variant, control, metric = row["variant"], row["control"], row["metric"]
    if row["error"] or row["p"] is None:
        return f"Nothing can be said about {variant} against {control}: {error_text(row['error'])}."
    levels = f"{metric} {level(row)} against {level(base)}"
    figures = f"{levels}, {_evidence(row)}"
    match row["decision"]:
        case Decision.SHIP:
            return f"{variant} beat {control}: {figures}."
        case Decision.ROLLBACK:
            return f"{variant} did worse than {control}: {figures}."
        case Decision.RUNNING:
            return f"{variant} against {control} is still running ({row['decision_reason']}); so far {figures}."
        case _ if row["small_sample"]:
            return f"Too few yet to compare {variant} with {control}: {levels}."
        case _ if "guardrail" in row["decision_reason"]:
            return f"{variant} is not to be shipped, although {metric} is better: {row['decision_reason']}. {figures}."
        case _:
            return f"No difference shown between {variant} and {control}: {figures}."


def _evidence(row: dict[str, Any]) -> str:
    """The difference with the interval and the p that the rule goes by; what was adjusted is said to be."""
    if row["rule"].startswith("sequential"):
        low, high, p, name = row["seq_low"], row["seq_high"], row["seq_p_adjusted"], "sequential p"
        return f"{difference(row | {'absolute_low': low, 'absolute_high': high})}, {name} {p_text(p)}"
    adjusted = "p" if row["p_adjusted"] == row["p"] else "adjusted p"
    return f"{difference(row)}, {adjusted} {p_text(row['p_adjusted'])}"


def level(row: dict[str, Any], column: str = "mean") -> str:
    """A rate as percentage, a mean as number; a dash where there is none."""
    if row[column] is None:
        return "–"
    return f"{row[column]:.2%}" if row["metric_type"] == "proportion" else f"{row[column]:,.3f}"


def difference(row: dict[str, Any], interval: str | None = None) -> str:
    """The absolute difference with its interval: in percentage points for rates; a dash where there is none."""
    if row["absolute"] is None:
        return "–"
    if interval is None:
        interval = f"{percent(row['confidence'])} interval "
    scale, unit = (100, " points") if row["metric_type"] == "proportion" else (1, "")
    value, low, high = (row[key] * scale for key in ("absolute", "absolute_low", "absolute_high"))
    return f"{value:+.2f}{unit} ({interval}{low:+.2f} to {high:+.2f})"


def percent(confidence: float) -> str:
    """`95%` of 0.95."""
    return f"{round(100 * confidence, 6):g}%"


def p_text(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"= {p:.3g}" if p < 0.01 else f"= {p:.3f}"


def error_text(error: str) -> str:
    return {
        "no_units": "a variant has no units",
        "one_unit": "a variant has a single unit",
        "zero_variance": "all units of each variant are alike",
        "no_variance": "the variance is not known",
        "no_source": "there are no data of it",
    }.get(error, error or "there is no figure")
