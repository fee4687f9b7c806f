"""What Polars itself does as Python would: printing text and numbers, and comparing them."""

from typing import TYPE_CHECKING, Any

import polars as pl
from jinja2 import nodes

from campaign_pipeline.messages.environment import RECORDS
from campaign_pipeline.messages.vectorised import text

if TYPE_CHECKING:
    from campaign_pipeline.messages.vectorised.writer import Writer

_SMALL = 2**53
_PLAIN = (pl.Float64, pl.Date, pl.Datetime)
_COMPARED: dict[str, str] = {"eq": "eq_missing", "ne": "ne_missing", "lt": "lt", "lteq": "le", "gt": "gt", "gteq": "ge"}


def printed(writer: "Writer", name: str) -> pl.Series | None:
    """What `{{ name }}` prints; None where only Jinja2 knows."""
    rows = writer.rows
    kind = rows[name].dtype
    if kind == pl.String:
        if not writer.part.environment.autoescape:
            return _string(writer, name)
        line = "escaped line" if _one_line(writer, name) else "escaped"
        return rows.derived(name, line, lambda _column: text.escaped(_string(writer, name)))
    if kind.is_integer():
        return rows.derived(name, "printed", lambda column: column.cast(pl.String))
    if isinstance(kind, _PLAIN):
        return rows.derived(name, "printed", _as_python_prints)
    return None


def _as_python_prints(column: pl.Series) -> pl.Series:
    return pl.Series([None if value is None else str(value) for value in column.to_list()], dtype=pl.String)


def truth(writer: "Writer", test: nodes.Expr, inputs: list[str]) -> tuple[pl.Expr, bool] | None:
    """Whether `test` holds, and whether that is never null; None where only Jinja2 knows."""
    if writer.is_column(test, inputs):
        return _true(writer, inputs[0])
    match test:
        case nodes.Compare(expr=left, ops=[nodes.Operand(op=operator, expr=right)]) if operator in _COMPARED:
            return _compared(writer, left, operator, right)
        case nodes.Test(name="none", node=nodes.Expr() as tested) if writer.is_column(tested, inputs):
            return writer.rows.expression(writer.rows[inputs[0]]).is_null(), True
        case nodes.Test(name="defined", node=nodes.Expr() as tested) if writer.is_column(tested, inputs):
            return pl.lit(True), True
        case _:
            return None


def _true(writer: "Writer", name: str) -> tuple[pl.Expr, bool] | None:
    column = writer.rows[name]
    kind = column.dtype
    value = writer.rows.expression(column)
    if kind == pl.String:
        return value.ne_missing("") & value.is_not_null(), True
    if kind == pl.Boolean:
        return value.fill_null(False), True
    if kind.is_integer() or kind == pl.Float64:
        return value.ne_missing(0) & value.is_not_null(), True
    if isinstance(kind, pl.Date | pl.Datetime):
        return value.is_not_null(), True
    if kind == pl.List:
        return value.list.len().fill_null(0) > 0, True
    return None


def _compared(writer: "Writer", left: nodes.Expr, operator: str, right: nodes.Expr) -> tuple[pl.Expr, bool] | None:
    """A column with a constant or another column of its type. An order with a null is an error, and so null."""
    sides = [_side(writer, left), _side(writer, right)]
    if any(side is None for side in sides):
        return None
    (first, kind), (second, other) = (side for side in sides if side is not None)
    if kind is not other:
        return None
    holds = getattr(first, _COMPARED[operator])(second)
    return holds, operator in ("eq", "ne")


def _side(writer: "Writer", node: nodes.Expr) -> tuple[pl.Expr, Any] | None:
    """An operand and its kind: str or int."""
    if isinstance(node, nodes.Const):
        if isinstance(node.value, str):
            return pl.lit(node.value), str
        if type(node.value) is int and abs(node.value) < _SMALL:
            return pl.lit(node.value), int
        return None
    inputs = writer.reads([node])
    if not writer.is_column(node, inputs):
        return None
    kind = writer.rows[inputs[0]].dtype
    if kind == pl.String:
        return writer.rows.expression(_string(writer, inputs[0])), str
    if kind.is_signed_integer() and kind != pl.Int128:
        return writer.rows.expression(writer.rows[inputs[0]]), int
    return None


def _one_line(writer: "Writer", name: str) -> bool:
    """Of the fields of records only, as in the environment."""
    return writer.part.single_line and name.partition(".")[0] in RECORDS and "." in name


def _string(writer: "Writer", name: str) -> pl.Series:
    rows = writer.rows
    return rows.derived(name, "line", text.on_one_line) if _one_line(writer, name) else rows[name]
