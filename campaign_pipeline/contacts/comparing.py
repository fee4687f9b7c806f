"""Incoming contacts beside those that are there: who is new, whose fields change, and to what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.incoming import ATTRIBUTE, CONSENT
from campaign_pipeline.contacts.queries import PIECE, frame_for_keys
from campaign_pipeline.contacts.sources.table import LINE
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.tables import contacts

SAMPLE = 5
"""Changes of each kind that are shown."""

_OLD = ":old"
_JSON = "attributes"


@dataclass(frozen=True)
class Change:
    """What happens to one contact: `change` is new or changed, `fields` are {name: [before, after]}."""

    key: str
    line: int
    change: str
    fields: Mapping[str, tuple[object, object]]


@dataclass
class Comparison:
    """`new` and `changed` have contact_id, the fields of the file and attributes (String: the whole JSON object, as it
    will be); `fields` counts by field the contacts in which it changes; `sample` has the first few of each kind."""

    new: pl.DataFrame
    changed: pl.DataFrame
    unchanged: int = 0
    fields: dict[str, int] = field(default_factory=dict[str, int])
    sample: list[Change] = field(default_factory=list[Change])


def compare(connection: sa.Connection, incoming: pl.DataFrame) -> Comparison:
    """Compare `incoming` (Incoming.contacts). A field that the file lacks stays; an attribute too; an empty cell
    empties its field, but never `created_at`. A value of another type is a change, also if Python calls them equal."""
    nobody = connection.execute(sa.select(contacts.c.contact_id).limit(1)).first() is None
    names = [name for name in incoming.columns if not name.startswith((ATTRIBUTE, CONSENT)) and name != LINE]
    attributes = [name for name in incoming.columns if name.startswith(ATTRIBUTE)]
    columns = [*names, *([_JSON] if attributes else [])]
    result = Comparison(_no_rows(incoming, columns), _no_rows(incoming, columns))
    told = progress_of("comparing")
    new: list[pl.DataFrame] = []
    changed: list[pl.DataFrame] = []
    for start in range(0, len(incoming), PIECE):
        piece = incoming.slice(start, PIECE)
        ready = piece.select(LINE, *names, *([_as_json(piece, attributes)] if attributes else []))
        if nobody:
            fresh = ready
        else:
            both = ready.join(_known(connection, ready, names, attributes), on="contact_id", how="left", suffix=_OLD)
            fresh = both.filter(pl.col("external_id" + _OLD).is_null()).select(ready.columns)
            known = both.filter(pl.col("external_id" + _OLD).is_not_null())
            differing = _changed(known, names, result)
            result.unchanged += len(known) - len(differing)
            changed.append(differing.select(columns))
        _sample_new(fresh, result)
        new.append(fresh.select(columns))
        told(start + len(piece), len(incoming))
    result.new = pl.concat(new) if new else result.new
    result.changed = pl.concat(changed) if changed else result.changed
    return result


def _no_rows(incoming: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    return incoming.clear().with_columns(pl.lit(None, pl.String).alias(_JSON)).select(columns)


def _as_json(piece: pl.DataFrame, attributes: list[str]) -> pl.Series:
    named = piece.select(pl.col(name).alias(name.removeprefix(ATTRIBUTE)) for name in attributes)
    return named.to_struct(_JSON).struct.json_encode()


def _known(connection: sa.Connection, ready: pl.DataFrame, names: list[str], attributes: list[str]) -> pl.DataFrame:
    """What is there of the contacts of `ready`, in its columns."""
    schema = {name: ready.schema[name] for name in names}
    selected: list[sa.ColumnElement[Any]] = [contacts.c[name] for name in names]
    if attributes:
        selected.append(sa.cast(contacts.c.attributes, sa.Text).label(_JSON))
        schema[_JSON] = pl.String()
    return frame_for_keys(connection, sa.select(*selected), contacts.c.contact_id, ready["contact_id"], schema)


def _changed(known: pl.DataFrame, names: list[str], result: Comparison) -> pl.DataFrame:
    """The rows in which something changes, as they will be; counts and samples go into `result`."""
    plain = [name for name in names if name not in ("contact_id", "external_id")]
    if "created_at" in plain:
        known = known.with_columns(pl.coalesce("created_at", "created_at" + _OLD))
    differs = [pl.col(name).ne_missing(pl.col(name + _OLD)).alias("differs:" + name) for name in plain]
    known = known.with_columns(*differs)
    marks = ["differs:" + name for name in plain]
    for name in plain:
        _count(result, name, int(known["differs:" + name].sum()))
    if _JSON in known.columns:
        known = known.with_columns(_merged(known[_JSON], known[_JSON + _OLD], result))
        known = known.with_columns(
            pl.col("merged").is_not_null().alias("differs:" + _JSON),
            pl.coalesce("merged", _JSON + _OLD).alias(_JSON),
        )
        marks.append("differs:" + _JSON)
    changed = known.filter(pl.any_horizontal(pl.lit(False), *marks))
    missing = SAMPLE - sum(change.change == "changed" for change in result.sample)
    result.sample.extend(_change(row, plain) for row in changed.head(missing).to_dicts())
    return changed


def _merged(new: pl.Series, old: pl.Series, result: Comparison) -> pl.Series:
    """The old objects with the new values; null where nothing changes (mostly the two are the same text)."""
    merged: list[str | None] = [None] * len(new)
    for place in (new != old).arg_true():
        before: dict[str, Any] = orjson.loads(old[place])
        after: dict[str, Any] = orjson.loads(new[place])
        differing = [name for name, value in after.items() if not _same(before, name, value)]
        if differing:
            merged[place] = orjson.dumps(before | after).decode()
            for name in differing:
                _count(result, name, 1)
    return pl.Series("merged", merged, dtype=pl.String)


def _same(before: dict[str, Any], name: str, value: object) -> bool:
    """Whether `name` has that value already; 1, 1.0 and True are equal in Python, but not here."""
    return name in before and type(before[name]) is type(value) and before[name] == value


def _count(result: Comparison, name: str, changes: int) -> None:
    if changes:
        result.fields[name] = result.fields.get(name, 0) + changes


def _sample_new(fresh: pl.DataFrame, result: Comparison) -> None:
    missing = SAMPLE - sum(change.change == "new" for change in result.sample)
    for row in fresh.head(missing).to_dicts():
        values = {name: value for name, value in row.items() if name not in (LINE, "contact_id", "external_id", _JSON)}
        values |= orjson.loads(row.get(_JSON) or "{}")
        fields = {name: (None, value) for name, value in values.items() if value is not None}
        result.sample.append(Change(row["external_id"], row[LINE], "new", fields))


def _change(row: dict[str, Any], plain: list[str]) -> Change:
    fields = {name: (row[name + _OLD], row[name]) for name in plain if row["differs:" + name]}
    if row.get("differs:" + _JSON):
        before, after = orjson.loads(row[_JSON + _OLD]), orjson.loads(row[_JSON])
        differing = [name for name, value in after.items() if not _same(before, name, value)]
        fields |= {name: (before.get(name), after[name]) for name in differing}
    return Change(row["external_id"], row[LINE], "changed", fields)
