"""Lengths of time in definition files: `90m`, `24h`, `7d`, `2w`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_DURATION = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(value: object) -> object:
    """`90m`, `24h`, `7d`, `2w` as a timedelta."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and value.startswith("P"):
        return value  # ISO 8601: the form in which a version is stored
    raise ValueError("is not a duration such as 90m, 24h, 7d or 2w")


def _bounded(value: timedelta) -> timedelta:
    if not timedelta() < value <= timedelta(days=366):
        raise ValueError("must be longer than nothing, and a year at most")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_bounded)]
