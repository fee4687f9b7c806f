"""Reading a file of aggregates: counts, means and variances by variant, of one metric or several, at one look or many.

Two layouts are known by their columns. *Tall*: a row for each arm, with `variant`, `n`, `mean` and, unless it is of a
proportion, `variance`. *Paired*: a row for each treatment with the control beside it, `variant_id`, `count_c`,
`count_t`, `mean_c`, `mean_t`, `variance_c`, `variance_t`, as in the open ASOS data. Both may have `metric`, `look` and
`experiment`.
"""

from pathlib import Path

import polars as pl

from campaign_pipeline.analytics.experiments.unit_files import columns_of, read_texts
from campaign_pipeline.core.errors import InvalidInput

ALIASES = {
    "experiment": ("experiment", "experiment_id"),
    "look": ("look", "time_since_start"),
    "metric": ("metric", "metric_id"),
    "variant": ("variant", "variant_id"),
    "n": ("n", "count"),
    "mean": ("mean",),
    "variance": ("variance", "var"),
}
PAIRED = {"n": "count", "mean": "mean", "variance": "variance"}
"""Column -> stem of the paired layout: `count_c` is of the control, `count_t` of the treatment."""

AGGREGATES = {
    "line": pl.Int64,
    "look": pl.Float64,
    "metric": pl.String,
    "variant": pl.String,
    "n": pl.Int64,
    "mean": pl.Float64,
    "variance": pl.Float64,
}
KEY = ("look", "metric", "variant")


def read_aggregates(file: Path, *, control: str, experiment: str | None = None) -> pl.DataFrame:
    """The aggregates of `file`, tall, by look, metric and variant (AGGREGATES without `line`).

    `experiment` picks one of several in the file; in the paired layout `control` is what its arm is called. Without
    such columns, `look` is null and `metric` is "metric". InvalidInput names line, column and value of a misfit.
    """
    header = columns_of(file)
    found = {name: next((alias for alias in aliases if alias in header), None) for name, aliases in ALIASES.items()}
    paired = all(f"{stem}_{side}" in header for stem in ("count", "mean") for side in "ct")
    wanted = ["variant"] if paired else ["variant", "n", "mean"]
    if missing := [name for name in wanted if found[name] is None]:
        raise InvalidInput(
            f"{file.name} has no column {missing[0]!r}",
            f"Aggregates need variant, n and mean, or count_c, count_t, mean_c, mean_t. It has: {', '.join(header)}.",
        )
    texts = _texts(file, found, paired)
    texts = _of_experiment(file, texts, experiment)
    rows = _typed(file, texts) if not paired else _unpaired(file, texts, control)
    repeated = rows.filter(pl.struct(KEY).is_duplicated())
    if repeated.height:
        look, metric, variant = repeated.select(KEY).row(0)
        where = f"variant {variant!r} of metric {metric!r}" + ("" if look is None else f" at look {look:g}")
        raise InvalidInput(f"{file.name}:{repeated['line'][1]}: {where} is there twice")
    return rows.drop("line").sort(KEY, nulls_last=True)


def _texts(file: Path, found: dict[str, str | None], paired: bool) -> pl.DataFrame:
    """Text columns under our own names, the paired ones as `n_c`, `n_t`, ..."""
    keys = ("experiment", "look", "metric", "variant") if paired else tuple(ALIASES)
    names = {found[name] or "": name for name in keys if found[name]}
    if paired:
        header = columns_of(file)
        sides = {f"{stem}_{side}": f"{name}_{side}" for name, stem in PAIRED.items() for side in "ct"}
        names |= {column: name for column, name in sides.items() if column in header}
    return read_texts(file, list(names)).rename(names)


def _of_experiment(file: Path, texts: pl.DataFrame, experiment: str | None) -> pl.DataFrame:
    names = texts["experiment"].unique().sort().drop_nulls().to_list() if "experiment" in texts.columns else []
    if experiment is None and len(names) < 2:
        return texts
    if experiment not in names:
        some = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
        problem = f"has no experiment {experiment!r}" if experiment else f"has {len(names)} experiments"
        raise InvalidInput(f"{file.name} {problem}", f"Pick one with --experiment: {some or 'it names none'}.")
    return texts.filter(pl.col("experiment") == experiment)


def _unpaired(file: Path, texts: pl.DataFrame, control: str) -> pl.DataFrame:
    """Each row as that of its treatment, and the control once for each look and metric."""

    def side(letter: str) -> pl.DataFrame:
        keep = [name for name in ("line", "look", "metric", "variant") if name in texts.columns]
        values = [
            pl.col(f"{name}_{letter}").alias(name) if f"{name}_{letter}" in texts.columns else pl.lit(None).alias(name)
            for name in PAIRED
        ]
        return texts.select(*keep, *values)

    treatments = _typed(file, side("t"))
    if (treatments["variant"] == control).any():
        raise InvalidInput(f"{file.name}: a treatment is called {control!r}, as the control", "Give another --control.")
    controls = _typed(file, side("c").with_columns(variant=pl.lit(control))).unique(
        [*KEY, "n", "mean", "variance"], keep="first", maintain_order=True
    )
    differing = controls.filter(pl.struct(KEY).is_duplicated())
    if differing.height:
        raise InvalidInput(
            f"{file.name}:{differing['line'][1]}: the control of metric {differing['metric'][1]!r} "
            "is not the same beside all treatments of one look",
            "Import each treatment as an experiment of its own.",
        )
    return pl.concat([controls, treatments])


def _typed(file: Path, texts: pl.DataFrame) -> pl.DataFrame:
    """AGGREGATES of tall text columns."""
    defaults = {"look": None, "metric": "metric", "variance": None}
    texts = texts.with_columns(
        pl.lit(value, dtype=pl.String).alias(name) for name, value in defaults.items() if name not in texts.columns
    )
    numbers = {name: texts[name].str.strip_chars().cast(pl.Float64, strict=False) for name in ("n", "mean", "variance")}
    look = texts["look"].cast(pl.Float64, strict=False)
    n, mean, variance = numbers.values()
    empty = n == 0
    checks = (
        ("variant", texts["variant"].is_not_null(), "a variant"),
        ("metric", texts["metric"].is_not_null(), "a metric"),
        (
            "look",
            look.is_finite() if texts["look"].null_count() < texts.height else texts["look"].is_null(),
            "a number",
        ),
        ("n", n.is_finite() & (n >= 0) & (n == n.floor()), "a whole number of units"),
        ("mean", mean.is_finite() | (empty & texts["mean"].is_null()), "a number"),
        ("variance", (variance.is_finite() & (variance >= 0)) | texts["variance"].is_null(), "a number of 0 or more"),
    )
    for name, fits, what in checks:
        bad = texts.filter(~fits.fill_null(False))
        if bad.height:
            value = bad[name][0]
            said = "is empty" if value is None else f"{value[:60]!r} is not {what}"
            more = f" (and {bad.height - 1} more)" if bad.height > 1 else ""
            raise InvalidInput(f"{file.name}:{bad['line'][0]}: {name}: {said}{more}")
    return texts.select(
        "line",
        look.alias("look"),
        "metric",
        "variant",
        n.cast(pl.Int64).alias("n"),
        pl.Series("mean", mean),
        pl.Series("variance", variance),
    ).with_columns(mean=pl.when(pl.col("n") > 0).then("mean"))
