"""What a template reads beside the contact's own fields: segments, contact tables and coupons.

    segments.<name>   true or false: the contact is in the segment as of the run
    tables.<name>     the contact's items of a contact table, a list of records; empty if there are none
    coupons.<pool>    the code that was handed out to the contact

Each is one struct column, with the names only that the templates use; `needs` finds them, `context_columns` makes them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from campaign_pipeline.messages.definition import Template, environment_of
from campaign_pipeline.messages.environment import RECORDS
from campaign_pipeline.messages.variables import reads_whole, uses

EXAMPLE_CODE = "EXAMPLE-CODE"
EXAMPLE_ITEMS = 3


@dataclass(frozen=True)
class Needs:
    """The names that templates use after `segments.`, `tables.` and `coupons.`, sorted."""

    segments: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    coupons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.segments or self.tables or self.coupons)


def needs(templates: Iterable[Template]) -> Needs:
    """What `templates` use, in all their parts and languages."""
    found = {
        use.name
        for template in templates
        for locale in template.languages
        for part, source in template.parts(locale).items()
        for use in uses(environment_of(part), source)
    }
    return Needs(_of("segments", found), _of("tables", found), _of("coupons", found))


def contact_fields(templates: Iterable[Template]) -> frozenset[str] | None:
    """The fields of the contact that `templates` can read, in all their parts and languages; None: any."""
    found: set[str] = set()
    for template in templates:
        for locale in template.languages:
            for part, source in template.parts(locale).items():
                if reads_whole(environment_of(part), source, "contact"):
                    return None
                found |= {use.name for use in uses(environment_of(part), source)}
    return frozenset(_of("contact", found))


def _of(record: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name.removeprefix(f"{record}.") for name in names if name.startswith(f"{record}.")))


def context_columns(
    contacts: pl.Series,
    members: Mapping[str, pl.Series],
    tables: Mapping[str, pl.DataFrame],
    codes: Mapping[str, pl.DataFrame],
) -> pl.DataFrame:
    """contact_id and, where there is any, segments, tables and coupons (structs): a row for each of `contacts`.

    `members`: segment -> contact ids in it. `tables`: table -> contact_id, items (List). `codes`: pool -> contact_id,
    code; a contact without one has a null.
    """
    frame = pl.DataFrame({"contact_id": contacts})
    columns = {
        "segments": [contacts.is_in(ids.implode()).alias(name) for name, ids in members.items()],
        "tables": [_empty_for_null(_looked_up(frame, table, "items").alias(name)) for name, table in tables.items()],
        "coupons": [_looked_up(frame, each, "code").alias(name) for name, each in codes.items()],
    }
    return frame.with_columns(pl.DataFrame(fields).to_struct(record) for record, fields in columns.items() if fields)


def _looked_up(frame: pl.DataFrame, among: pl.DataFrame, column: str) -> pl.Series:
    return frame.join(among, on="contact_id", how="left", validate="m:1", maintain_order="left")[column]


def _empty_for_null(lists: pl.Series) -> pl.Series:
    return lists.fill_null(pl.Series([[]], dtype=lists.dtype))


def example_context(needed: Needs, items: Mapping[str, pl.DataType] | None = None) -> dict[str, Any]:
    """The same for a made-up contact: in every segment, with a code of each pool, and items of the tables' types.

    `items`: table -> the type of its items (Struct); empty lists of those that are not in it.
    """
    known = items or {}
    values = {
        "segments": dict.fromkeys(needed.segments, True),
        "tables": {name: _example_items(known[name]) if name in known else [] for name in needed.tables},
        "coupons": dict.fromkeys(needed.coupons, EXAMPLE_CODE),
    }
    return {record: RECORDS[record](fields) for record, fields in values.items()}


def _example_items(kind: pl.DataType) -> list[dict[str, Any]]:
    fields = kind.fields if isinstance(kind, pl.Struct) else []
    return [
        {field.name: _example(field.name, field.dtype, number) for field in fields}
        for number in range(1, EXAMPLE_ITEMS + 1)
    ]


def _example(name: str, kind: Any, number: int) -> Any:
    if kind.is_integer():
        return number
    if kind.is_float() or kind.is_decimal():
        return number * 10 - 0.5
    return _EXAMPLES.get(kind.base_type(), f"{name} {number}")


_EXAMPLES: dict[Any, Any] = {
    pl.Boolean: True,
    pl.Datetime: datetime(2026, 1, 15, 9, tzinfo=UTC),
    pl.Date: date(2026, 1, 15),
}
