"""Contact tables: what is known of a contact in many rows, such as recommended items, for templates to loop over.

In the lake as `contact_tables/<name>.parquet`: contact_id (String, sorted), items (List of structs, in the file's
order). An import replaces the table as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import stream_frame
from campaign_pipeline.contacts.rejects import Reject, write_rejects
from campaign_pipeline.contacts.sources.delimited import read_delimited
from campaign_pipeline.contacts.sources.table import LINE, Table
from campaign_pipeline.contacts.values import clean, infer_type, typed
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contacts

ASSET = "contact_tables"


@dataclass(frozen=True)
class ImportedTable:
    """read = taken + rejected (rows); `contacts`: who has rows; `columns`: name -> type."""

    table: str
    read: int
    taken: int
    contacts: int
    rejected: int
    rejects_path: Path | None
    columns: dict[str, str]


def import_table(
    connection: sa.Connection,
    lake: Lake,
    name: str,
    file: Path,
    *,
    key: str,
    columns: Sequence[str] = (),
    rejects_path: Path,
) -> ImportedTable:
    """Replace contact table `name` by the rows of `file`: CSV, Parquet (.parquet) or JSON lines (.jsonl, .ndjson).

    `key`: the column with the contact's external id, or contact id. `columns`: which others to take, in this order; all
    if none is given. A column of a CSV file gets the type that all of its values have, and an empty cell is a null.
    Rows of unknown contacts are rejected, with their line (in Parquet: their number) and why.
    """
    check_name("table", name)
    source, broken = _read(file)
    missing = [column for column in (key, *columns) if column not in source.columns]
    if missing:
        raise InvalidInput(f"{file} has no column {missing[0]!r}", f"It has: {', '.join(_columns(source))}.")
    chosen = list(columns) or [column for column in _columns(source) if column != key]
    if not chosen:
        raise InvalidInput(f"{file} has no column but the key {key!r}", "An item needs a field.")
    ids = _contact_ids(connection, source[key].cast(pl.String).str.strip_chars())
    keyed = source.select(LINE, *chosen).with_columns(contact_id=ids)
    known = keyed.filter(pl.col("contact_id").is_not_null())
    unknown = dict.fromkeys(keyed.filter(pl.col("contact_id").is_null())[LINE], f"{key}: no contact has this id")
    rejects = broken + Table(source).reject(unknown)
    items = pl.struct(chosen).alias("items")
    grouped = known.sort(LINE).select("contact_id", items).group_by("contact_id", maintain_order=True).agg("items")
    table = grouped.sort("contact_id")
    written = write_rejects(rejects_path, rejects)
    lake.write(table, ASSET, name)
    kinds = {column: str(source.schema[column]) for column in chosen}
    read = source.height + len(broken)
    return ImportedTable(name, read, known.height, table.height, len(rejects), written, kinds)


def tables(lake: Lake) -> list[str]:
    """The names of all contact tables, sorted."""
    return lake.partitions(ASSET)


def read_contact_table(lake: Lake, name: str) -> pl.DataFrame:
    """contact_id, items; NotFound names what there is."""
    if name not in tables(lake):
        there = ", ".join(tables(lake)) or "none"
        raise NotFound(
            f"contact table {name!r} does not exist",
            f"There are: {there}. Import it with: campaigns tables import {name} FILE",
        )
    return lake.read(ASSET, name)


def item_type(lake: Lake, name: str) -> pl.Struct:
    """The type of an item of the table: a struct."""
    kind = pl.read_parquet_schema(lake.path(ASSET, name))["items"]
    assert isinstance(kind, pl.List)
    assert isinstance(kind.inner, pl.Struct)
    return kind.inner


def summary(lake: Lake) -> pl.DataFrame:
    """A row a table: table, contacts, items, columns (text)."""
    rows = [
        (name, *_size(lake, name), ", ".join(field.name for field in item_type(lake, name).fields))
        for name in tables(lake)
    ]
    schema = {"table": pl.String, "contacts": pl.Int64, "items": pl.Int64, "columns": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _size(lake: Lake, name: str) -> tuple[int, int]:
    items = lake.read(ASSET, name)["items"]
    return len(items), int(items.list.len().sum())


def _columns(source: pl.DataFrame) -> list[str]:
    return [column for column in source.columns if column != LINE]


def _read(file: Path) -> tuple[pl.DataFrame, list[Reject]]:
    """The rows with LINE, typed, and those that cannot be read."""
    kind = file.suffix.lower()
    if kind not in (".parquet", ".jsonl", ".ndjson"):
        table = read_delimited(file)
        cleaned = [clean(table.rows[column]) for column in table.columns]
        values = [typed(column, infer_type(column)) for column in cleaned]
        return pl.DataFrame([table.rows[LINE], *values]), table.rejects
    try:
        frame = pl.read_parquet(file) if kind == ".parquet" else pl.read_ndjson(file, infer_schema_length=None)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror or 'no such file'}") from None
    except pl.exceptions.PolarsError:
        raise InvalidInput(f"{file} is not a {kind[1:]} file", "Give CSV, Parquet or JSON lines.") from None
    return frame.with_row_index(LINE, offset=1).with_columns(pl.col(LINE).cast(pl.Int64)), []


def _contact_ids(connection: sa.Connection, keys: pl.Series) -> pl.Series:
    """The contact id of each key, an external id or a contact id; null where there is no such contact."""
    query = sa.select(contacts.c.contact_id, contacts.c.external_id)
    known = stream_frame(connection, query, {"contact_id": pl.String, "external_id": pl.String})
    frame = pl.DataFrame({"key": keys})
    by_external = frame.join(known, left_on="key", right_on="external_id", how="left", maintain_order="left")
    themselves = known.select(key="contact_id", itself="contact_id")
    by_id = frame.join(themselves, on="key", how="left", maintain_order="left")
    return by_external["contact_id"].zip_with(by_external["contact_id"].is_not_null(), by_id["itself"])
