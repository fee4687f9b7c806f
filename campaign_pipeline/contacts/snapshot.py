"""The contact snapshot: contacts, their consent and their attributes in one Parquet file, which segments read."""

from functools import reduce
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.consent import current_consent
from campaign_pipeline.contacts.queries import PIECE
from campaign_pipeline.contacts.values import TIME
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState

ASSET = "contact_snapshot"
FIELDS = {
    "contact_id": pl.String,
    "external_id": pl.String,
    "email": pl.String,
    "phone": pl.String,
    "first_name": pl.String,
    "last_name": pl.String,
    "locale": pl.String,
    "country": pl.String,
    "timezone": pl.String,
    "created_at": TIME,
}


def write_snapshot(engine: sa.Engine, lake: Lake) -> pl.DataFrame:
    """Write the contacts of now as `contact_snapshot`, sorted by contact_id, and return them.

    Columns: FIELDS; consent_<channel> (Boolean: the newest marketing consent is granted); then, sorted by name, one
    column an attribute, as Boolean, Int64, Float64 (also if some are integers) or String (also if types are mixed).
    """
    with reading(engine) as connection:
        snapshot = _contacts(connection).sort("contact_id")
        for channel in Channel:
            granted = current_consent(connection, channel).filter(pl.col("state") == ConsentState.GRANTED.value)
            has = pl.col("contact_id").is_in(granted["contact_id"].implode())
            snapshot = snapshot.with_columns(has.alias(f"consent_{channel}"))
    attributes = sorted(set(snapshot.columns) - set(FIELDS) - {f"consent_{channel}" for channel in Channel})
    snapshot = snapshot.select(*FIELDS, *(f"consent_{channel}" for channel in Channel), *attributes)
    lake.write(snapshot, ASSET)
    return snapshot


def read_snapshot(lake: Lake) -> pl.DataFrame:
    """The newest snapshot; NotFound if there is none."""
    return lake.read(ASSET)


def _contacts(connection: sa.Connection) -> pl.DataFrame:
    """FIELDS and the attributes, typed over all contacts, read piece by piece."""
    text = sa.cast(contacts.c.attributes, sa.Text).label("attributes")
    query = sa.select(*(contacts.c[name] for name in FIELDS), text)
    found = connection.execute(query, execution_options={"yield_per": PIECE})
    pieces: list[pl.DataFrame] = []
    for rows in found.partitions():
        core = pl.DataFrame([tuple(row[:-1]) for row in rows], FIELDS, orient="row")
        pieces.append(core.hstack(_attributes([row[-1] for row in rows])))
    if not pieces:
        return pl.DataFrame(schema=FIELDS)
    types = reduce(_merge_types, (piece.drop(FIELDS).schema for piece in pieces), dict[str, pl.DataType]())
    final = {name: pl.String() if dtype == pl.Null else dtype for name, dtype in types.items()}
    cast = [
        piece.cast({name: dtype for name, dtype in final.items() if name in piece.columns})  # pyright: ignore[reportArgumentType]
        for piece in pieces
    ]
    return pl.concat(cast, how="diagonal")


def _attributes(texts: list[str]) -> list[pl.Series]:
    """The JSON objects as columns, each typed over these rows (Null if there is no value)."""
    objects: list[dict[str, Any]] = [orjson.loads(text) for text in texts]
    names: dict[str, None] = {}
    for item in objects:
        names.update(dict.fromkeys(item))
    return [_column(name, [item.get(name) for item in objects]) for name in names]


def _column(name: str, values: list[Any]) -> pl.Series:
    dtypes = {_TYPES.get(type(value), pl.String()) for value in values if value is not None}
    dtype: pl.DataType = reduce(_wider, dtypes, pl.Null())
    if dtype == pl.String:
        values = [
            value if value is None or isinstance(value, str) else orjson.dumps(value).decode() for value in values
        ]
    return pl.Series(name, values, dtype=dtype, strict=False)


_TYPES: dict[type, pl.DataType] = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64()}


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """The type that holds the values of both."""
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    return pl.Float64() if {one, other} == {pl.Int64(), pl.Float64()} else pl.String()


def _merge_types(types: dict[str, pl.DataType], more: pl.Schema) -> dict[str, pl.DataType]:
    return types | {name: _wider(types.get(name, pl.Null()), dtype) for name, dtype in more.items()}
