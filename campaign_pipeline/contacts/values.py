"""Text into typed values, a whole column at a time; what cannot be read becomes null and is counted by the caller."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from zoneinfo import available_timezones

import polars as pl

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import contact_id

TIME = pl.Datetime("us", "UTC")


class ValueType(StrEnum):
    """The types of attributes and event properties."""

    STRING = "string"
    INTEGER = "integer"  # 64 bits
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"  # kept as ISO text, YYYY-MM-DD


# A leading zero or plus sign, or more digits than the type holds exactly, says that these are codes, not quantities.
_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?$"
_BOOLEAN = r"^(?i)(true|false)$"
TRUE = ("true", "yes", "y", "t", "1", "on")
FALSE = ("false", "no", "n", "f", "0", "off")
_TRUTH: dict[str, bool | str] = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}


def clean(column: pl.Series) -> pl.Series:
    """The text without white space around it; null where nothing is left."""
    stripped = column.str.strip_chars()
    return stripped.set(stripped == "", None)


def infer_type(column: pl.Series) -> ValueType:
    """The narrowest type that ALL values of a cleaned column have; a column without values is text."""
    values = column.drop_nulls().unique()
    if values.is_empty():
        return ValueType.STRING
    for pattern, found in (
        (_INTEGER, ValueType.INTEGER),
        (_NUMBER, ValueType.NUMBER),
        (_BOOLEAN, ValueType.BOOLEAN),
    ):
        if values.str.contains(pattern).all():
            return found
    return ValueType.STRING


def typed(column: pl.Series, value_type: ValueType, date_format: str | None = None) -> pl.Series:
    """A cleaned column as Int64, Float64, Boolean or String; null where a value is not of the type."""
    match value_type:
        case ValueType.INTEGER:
            return column.cast(pl.Int64, strict=False)
        case ValueType.NUMBER:
            numbers = column.cast(pl.Float64, strict=False)
            return numbers.set(~numbers.is_finite(), None)
        case ValueType.BOOLEAN:
            return words(column, _TRUTH, pl.Boolean)
        case ValueType.DATE:
            return column.str.to_date(date_format or "%Y-%m-%d", strict=False).dt.to_string("%Y-%m-%d")
        case ValueType.STRING:
            return column


def words(column: pl.Series, meaning: Mapping[str, bool | str], dtype: type[pl.DataType]) -> pl.Series:
    """What each word means, whatever its case; null where it is not in `meaning`."""
    lower = column.str.to_lowercase()
    values = pl.Series(list(meaning.values()), dtype=dtype)
    return lower.replace_strict(pl.Series(list(meaning)), values, default=None, return_dtype=dtype)


def moments(column: pl.Series, time_format: str | None, zone: str) -> pl.Series:
    """A cleaned column as UTC moments (TIME); null where a value is not a time.

    `time_format` in strptime's letters; None: ISO 8601, with or without a time of day. A time without an offset is
    local to `zone` (IANA): of an hour that the clocks repeat the first is meant; one that they skip does not exist.
    """
    if time_format:
        times = _parse(column, time_format)
        return (_from_local(times, zone) if times.dtype == pl.Datetime("us") else times).rename(column.name)
    text = column.str.replace("[Tt]", " ").str.replace("[Zz]$", "+00:00")
    aware = [_parse(text, f"{form}%:z") for form in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")]
    local = [_parse(text, form) for form in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")]
    found = [*aware, *(_from_local(times, zone) for times in local)]
    return pl.select(pl.coalesce(found).cast(TIME)).to_series().rename(column.name)


def _parse(column: pl.Series, time_format: str) -> pl.Series:
    return column.str.to_datetime(time_format, strict=False, time_unit="us", exact=True)


def _from_local(times: pl.Series, zone: str) -> pl.Series:
    local = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def contact_ids(external_ids: pl.Series) -> pl.Series:
    """ids.contact_id of every value; null stays null."""
    distinct = external_ids.drop_nulls().unique()
    ids = pl.Series([contact_id(value) for value in distinct], dtype=pl.String)
    return external_ids.replace_strict(distinct, ids, default=None, return_dtype=pl.String)


def locales(column: pl.Series) -> pl.Series:
    """BCP 47 tags with hyphens (`de_AT` is read as `de-AT`); null where a value is not one."""
    tags = column.str.replace_all("_", "-")
    return tags.set(~tags.str.contains(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"), None)


def time_zones(column: pl.Series) -> pl.Series:
    """The names that are IANA time zones; null where a value is not one."""
    return column.set(~column.is_in(_zones()), None)


def check_zone(name: str) -> str:
    if name not in _zones():
        raise InvalidInput(f"{name!r} is not an IANA time zone", "Example: Europe/Vienna.")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def slugs(names: Sequence[str]) -> dict[str, str]:
    """{slug: name}: each name as [a-z][a-z0-9_]*; InvalidInput if two names become one."""
    found: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
        if not slug or not slug[0].isalpha():
            slug = f"column_{slug}".rstrip("_")
        if slug in found:
            raise InvalidInput(
                f"the columns {found[slug]!r} and {name!r} would both be called {slug!r}",
                "Map them by name: attributes: {one: ..., other: ...}.",
            )
        found[slug] = name
    return found
