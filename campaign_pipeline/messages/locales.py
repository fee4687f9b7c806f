"""Which of a template's languages a contact reads: de-AT, then de, then the template's own."""

from collections.abc import Collection, Iterator

import polars as pl


def chain(tag: str) -> Iterator[str]:
    """`tag` and what is more general: zh-Hant-TW, zh-Hant, zh."""
    parts = tag.split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])


def choose(tag: str | None, available: Collection[str], default: str) -> str:
    """The nearest of `available` to `tag` (letter case aside), or `default`."""
    known = {each.lower(): each for each in available}
    found = (known[each] for each in chain((tag or "").lower()) if each in known)
    return next(found, default)


def choose_all(tags: pl.Series, available: Collection[str], default: str) -> pl.Series:
    """`choose` of every value of a String column, named `locale`."""
    distinct = tags.unique()
    chosen = pl.Series([choose(tag, available, default) for tag in distinct], dtype=pl.String)
    return tags.replace_strict(distinct, chosen, return_dtype=pl.String).alias("locale")
