"""What is done to a column of text: escaped as MarkupSafe does, put on one line, tested for being blank."""

from collections.abc import Callable

import polars as pl

from campaign_pipeline.messages.typography import PLAIN

CONTROL = r"[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}]+"
"""The same as in environment.one_line; a test compares them."""

_SPECIAL = r"""[&<>"']"""
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
_NOT_BLANK = r"[^\s\x1c-\x1f]"  # Python strips these separators too; Rust's \s has all else that it strips


def escaped(column: pl.Series) -> pl.Series:
    special = column.str.contains(_SPECIAL)
    return _changed(column, special, lambda found: found.str.replace_many(_ESCAPES))


def on_one_line(column: pl.Series) -> pl.Series:
    control = column.str.contains(CONTROL)
    return _changed(column, control, lambda found: found.str.replace_all(CONTROL, " "))


def in_plain_characters(column: pl.Series) -> pl.Series:
    """typography.plain of every text."""
    return column.str.replace_many(list(PLAIN), list(PLAIN.values()))


def may_be_blank(column: pl.Series) -> pl.Series:
    """False only where the text has something else than white space."""
    return ~column.str.contains(_NOT_BLANK)


def _changed(column: pl.Series, where: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`column`, changed in the few rows that need it."""
    if not where.any():
        return column
    rows = where.fill_null(False).arg_true()
    return column.clone().scatter(rows, change(column.gather(rows)))
