"""Numbers, money and dates as a locale writes them: filters for templates, by Babel.

They take what a contact's fields hold: numbers, times, dates, and dates kept as ISO text. A null is an error, as in
any other use; `default` before them handles it.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError, dates, numbers
from jinja2 import TemplateRuntimeError

DEFAULT_LOCALE = "en"
Width = Literal["short", "medium", "long", "full"]
_WIDTHS = ("short", "medium", "long", "full")


def babel_locale(tag: str) -> Locale:
    """The locale of a BCP 47 tag such as `de-AT`; ValueError if Babel has none of its language."""
    try:
        return Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        pass
    try:
        return Locale.parse(tag.split("-")[0])
    except (UnknownLocaleError, ValueError):
        raise ValueError(f"{tag!r} is not a locale that is known, such as de-AT") from None


def format_filters(tag: str) -> dict[str, Callable[..., str]]:
    """The filters number, percent, money, date, time and moment, for texts in the language `tag`."""
    locale = babel_locale(tag)
    by_locale = (number, percent, money, day, time_of_day, moment)
    names = ("number", "percent", "money", "date", "time", "moment")
    return {name: partial(each, locale=locale) for name, each in zip(names, by_locale, strict=True)}


def number(value: Any, decimals: int | None = None, *, locale: Locale) -> str:
    """`1234.5 | number` is 1,234.5 in English; `decimals` rounds, or fills up with zeros."""
    pattern = None if decimals is None else "#,##0" + ("." + "0" * decimals if decimals else "")
    return numbers.format_decimal(_decimal(value), format=pattern, locale=locale)


def percent(value: Any, decimals: int = 0, *, locale: Locale) -> str:
    """`0.153 | percent(1)` is 15.3% in English."""
    pattern = "#,##0" + ("." + "0" * decimals if decimals else "") + "%"
    return numbers.format_percent(_decimal(value), format=pattern, locale=locale)


def money(value: Any, currency: str, *, locale: Locale) -> str:
    """`19.9 | money('EUR')` is €19.90 in English and 19,90 € in German; `currency` is ISO 4217."""
    code = str(currency)
    if not numbers.is_currency(code):
        raise TemplateRuntimeError("money: the currency is not a code of ISO 4217, such as EUR")
    return numbers.format_currency(_decimal(value), code, locale=locale)


def day(value: Any, width: str = "medium", *, locale: Locale) -> str:
    """`contact.birthday | date('long')`: of a time, its date in UTC."""
    found = _time(value)
    return dates.format_date(found, format=_width(width), locale=locale)


def time_of_day(value: Any, width: str = "short", zone: Any = "UTC", *, locale: Locale) -> str:
    """`contact.next_visit | time('short', contact.timezone)`."""
    return dates.format_time(_moment(value), format=_width(width), tzinfo=_zone(zone), locale=locale)


def moment(value: Any, width: str = "medium", zone: Any = "UTC", *, locale: Locale) -> str:
    """Date and time: `contact.next_visit | moment('long', contact.timezone)`."""
    return dates.format_datetime(_moment(value), format=_width(width), tzinfo=_zone(zone), locale=locale)


def _decimal(value: Any) -> Decimal:
    text = str(value)  # a null fails here, by its name
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise TemplateRuntimeError("a number is formatted that is none") from None
    if isinstance(value, bool) or not found.is_finite():
        raise TemplateRuntimeError("a number is formatted that is none")
    return found


def _time(value: Any) -> date:
    """A date or time; ISO text is read as one."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value
    if isinstance(value, date):
        return value
    text = str(value)
    try:
        return datetime.fromisoformat(text) if len(text) > len("2026-03-02") else date.fromisoformat(text)
    except ValueError:
        raise TemplateRuntimeError("a date is formatted that is none") from None


def _moment(value: Any) -> datetime:
    found = _time(value)
    if not isinstance(found, datetime):
        raise TemplateRuntimeError("the time of a date is formatted, which has none")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TemplateRuntimeError("a time zone is used that is none") from None


def _width(width: str) -> Width:
    if width not in _WIDTHS:
        raise TemplateRuntimeError(f"a width is one of {', '.join(_WIDTHS)}")
    return width  # pyright: ignore[reportReturnType]
