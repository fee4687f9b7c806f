"""`for` over a column of lists: one row an item, the body written over those rows, and joined again."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
from jinja2 import nodes

from campaign_pipeline.messages.vectorised.reads import LOOP, CannotDivide, shared_state
from campaign_pipeline.messages.vectorised.rows import Coded, Rows

if TYPE_CHECKING:
    from campaign_pipeline.messages.vectorised.writer import Writer


def loop(writer: "Writer", piece: nodes.For) -> pl.Expr | None:
    """What a loop prints (String; null where the list is null, or an item of structs is); None if not translated."""
    match piece:
        case nodes.For(target=nodes.Name(name=item), test=None, recursive=False):
            pass
        case _:
            return None
    if shared_state(writer.part.environment, [piece.body, piece.else_]):
        return None
    inputs = writer.reads([piece.iter])
    if not writer.is_column(piece.iter, inputs):
        return None
    column = writer.rows[inputs[0]]
    if not isinstance(column.dtype, pl.List):
        return None
    lengths = column.list.len()
    try:
        bodies = _body(writer, piece, item, column.filter(lengths > 0), lengths)
    except CannotDivide:
        return None
    otherwise = writer.text(piece.else_) if piece.else_ else pl.lit("")
    length = writer.rows.expression(lengths)
    writer.told("loop", f"one row for each of {inputs[0]}")
    return pl.when(length > 0).then(writer.rows.expression(_joined(bodies, lengths))).when(length == 0).then(otherwise)


def _body(writer: "Writer", piece: nodes.For, item: str, lists: pl.Series, lengths: pl.Series) -> pl.Series:
    """What the body prints, one row an item."""
    items = lists.explode()
    sizes = lengths.fill_null(0).to_numpy().astype(np.int64)
    rows = _item_rows(writer.rows, item, items, sizes)
    body = writer.below(rows).text(piece.body)
    if isinstance(items.dtype, pl.Struct):  # what a null item has is undefined, which is more than null
        body = pl.when(rows.expression(items.is_not_null())).then(body)
    (printed,) = rows.evaluate([body])
    return printed


def _item_rows(above: Rows, item: str, items: pl.Series, sizes: np.ndarray) -> Rows:
    parents = pl.Series(np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes))
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    index = np.arange(len(items), dtype=np.int64) - starts
    length = np.repeat(sizes, sizes)
    fields = [field.name for field in items.dtype.fields] if isinstance(items.dtype, pl.Struct) else []
    hidden = {item, "loop"}
    kept = {name for name in above.names if name.partition(".")[0] not in hidden}
    own = {item, *(f"{item}.{field}" for field in fields), *(f"loop.{each}" for each in LOOP)}

    def load(name: str) -> pl.Series:
        if name in kept:
            return above[name].gather(parents)
        if name == item:
            return items
        root, _, field = name.partition(".")
        return items.struct.field(field) if root == item else _of_loop(field, index, length)

    def coded(name: str) -> Coded | None:
        known = above.coded(name) if name in kept else None
        return known and Coded(known.codes.gather(parents), known.keys, known.values)

    return Rows(len(items), kept | own, load, coded)


def _of_loop(name: str, index: np.ndarray, length: np.ndarray) -> pl.Series:
    match name:
        case "index":
            return pl.Series(index + 1)
        case "index0":
            return pl.Series(index)
        case "revindex":
            return pl.Series(length - index)
        case "revindex0":
            return pl.Series(length - index - 1)
        case "first":
            return pl.Series(index == 0)
        case "last":
            return pl.Series(index == length - 1)
        case _:
            return pl.Series(length)


def _joined(printed: pl.Series, lengths: pl.Series) -> pl.Series:
    """The texts of each list as one; null if one of them is."""
    offsets = np.concatenate([[0], np.cumsum(lengths.fill_null(0).to_numpy().astype(np.int64))])
    values = printed.to_arrow()
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
    return pl.Series(lists).list.join("", ignore_nulls=False)
