"""Comparisons with as_of, ranges and upper and lower case, on fields that are times, dates kept as text, and text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.folding import fold

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)


def write(lake: Lake, values: list[Any]) -> list[Any]:
    """Contacts with one field `f`, whose ids are the places of the values."""
    ids = [f"{place:03}" for place in range(len(values))]
    if isinstance(values[0], datetime):
        lake.write(
            pl.DataFrame({"contact_id": ids, "f": values}, schema_overrides={"f": pl.Datetime("us", "UTC")}),
            "contact_snapshot",
        )
    else:
        lake.write(pl.DataFrame({"contact_id": ids, "f": values}), "contact_snapshot")
    return values


def matching(
    lake: Lake, values: list[Any], rule: dict[str, Any], as_of: datetime = AS_OF, zone: str = "UTC"
) -> list[Any]:
    """The values for which the rule holds."""
    where = {"trait": {"field": "f", **rule}}
    segment = Segment.model_validate({"segment": "s", "timezone": zone, "where": where})
    return [values[int(contact)] for contact in members(lake, segment, {}, as_of)["contact_id"]]


TIMES = [AS_OF + timedelta(days=days, microseconds=more) for days in (-8, -7, 0, 7) for more in (-1, 0)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"older_than": "7d"}, TIMES[:3]),
        ({"newer_than": "7d"}, TIMES[3:5]),
        ({"within_next": "7d"}, TIMES[5:7]),
        ({"newer_than": "168h"}, TIMES[3:5]),
        ({"between": ["2026-02-22", "2026-02-23"]}, TIMES[:4]),
        ({"between": ["2026-02-22", "2026-02-23T09:00"]}, TIMES[:4]),
        ({"between": ["2026-02-22T09:00", "2026-02-23T08:59:59.999999"]}, TIMES[1:3]),
    ],
)
def test_times_are_compared_to_the_microsecond(lake: Lake, rule: dict[str, Any], expected: list[datetime]) -> None:
    assert matching(lake, write(lake, TIMES), rule) == expected


DAYS = ["2026-02-22", "2026-02-23", "2026-03-01", "2026-03-02", "2026-03-03", "2026-03-08", "2026-03-09", None]
NO_DATES = [
    "",
    "soon",
    "2026-3-2",
    "2026-02-30",
    "2026-02-29",
    "02.03.2026",
    "2026-03-02x",
    "2026-03-02T24:00",
    "0999-01-01",
]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"older_than": "7d"}, ["2026-02-22"]),
        ({"newer_than": "7d"}, ["2026-02-23", "2026-03-01", "2026-03-02"]),
        ({"newer_than": "1w"}, ["2026-02-23", "2026-03-01", "2026-03-02"]),
        ({"within_next": "1d"}, ["2026-03-02"]),
        ({"within_next": "7d"}, ["2026-03-02", "2026-03-03", "2026-03-08"]),
        ({"between": ["2026-02-23", "2026-03-02"]}, ["2026-02-23", "2026-03-01", "2026-03-02"]),
    ],
)
def test_dates_kept_as_text_are_compared_by_whole_days(lake: Lake, rule: dict[str, Any], expected: list[str]) -> None:
    values = write(lake, [*DAYS, *NO_DATES])
    assert [value for value in matching(lake, values, rule) if value in DAYS] == expected
    if "between" not in rule:
        assert matching(lake, values, rule) == expected


def test_of_a_date_with_a_time_the_date_counts_as_it_is_written(lake: Lake) -> None:
    values = write(lake, ["2026-03-02T23:59:59+14:00", "2026-03-02 00:00", "2026-03-02T00:00:00.000Z", "2026-03-02T"])
    assert matching(lake, values, {"within_next": "1d"}) == values[:3]
    assert matching(lake, values, {"within_next": "1d"}, zone="Pacific/Kiritimati") == values[:3]
    assert matching(lake, values, {"within_next": "1d"}, AS_OF - timedelta(hours=10), "America/New_York") == []


BIRTHDAYS = [
    "2000-02-28",
    "2000-02-29",
    "1999-03-01",
    "1980-12-31",
    "1981-01-01",
    "1990-06-15",
    "2026-02-28",
    "1999-02-29",
]


@pytest.mark.parametrize(
    ("day", "days", "expected"),
    [
        ("2026-02-28", 1, ["2000-02-28", "2000-02-29"]),  # a common year; who was born today has no anniversary yet
        ("2027-02-28", 1, ["2000-02-28", "2000-02-29", "2026-02-28"]),
        ("2026-03-01", 1, ["1999-03-01"]),
        ("2028-02-28", 1, ["2000-02-28", "2026-02-28"]),
        ("2028-02-29", 1, ["2000-02-29"]),
        ("2026-02-27", 2, ["2000-02-28", "2000-02-29"]),
        ("2026-12-31", 1, ["1980-12-31"]),
        ("2026-12-31", 2, ["1980-12-31", "1981-01-01"]),
        ("2026-12-25", 7, ["1980-12-31"]),
        ("2026-06-16", 364, ["2000-02-28", "2000-02-29", "1999-03-01", "1980-12-31", "1981-01-01", "2026-02-28"]),
        ("2026-06-16", 365, [*BIRTHDAYS[:5], "1990-06-15", "2026-02-28"]),
        ("1980-12-31", 2, []),
    ],
)
@pytest.mark.parametrize("kept_as", ["text", "time"])
def test_anniversaries(lake: Lake, kept_as: str, day: str, days: int, expected: list[str]) -> None:
    if kept_as == "time":
        expected = [f"{text}T04:30:00+00:00" for text in expected]
        values = write(lake, [datetime.fromisoformat(f"{text}T04:30:00+00:00") for text in BIRTHDAYS[:-1]])
    else:
        values = write(lake, BIRTHDAYS)  # the last one is no date
    found = matching(
        lake, values, {"anniversary": {"within_next": f"{days}d"}}, datetime.fromisoformat(f"{day}T04:45Z")
    )
    assert [value if isinstance(value, str) else value.isoformat() for value in found] == expected
    if days == 1:
        assert matching(lake, values, {"anniversary": "today"}, datetime.fromisoformat(f"{day}T23:59Z")) == found


def test_an_anniversary_is_on_the_date_in_the_segments_zone(lake: Lake) -> None:
    values = write(lake, [datetime(2020, 3, 1, 23, 30, tzinfo=UTC), datetime(2020, 7, 1, 22, 30, tzinfo=UTC)])
    assert matching(lake, values, {"anniversary": "today"}, zone="Europe/Berlin") == values[:1]
    assert matching(lake, values, {"anniversary": "today"}) == []
    in_july = datetime(2026, 7, 2, 12, tzinfo=UTC)  # summer time: two hours
    assert matching(lake, values, {"anniversary": "today"}, in_july, "Europe/Berlin") == values[1:]


TEXTS = ["Ärger", "ÄRGER", "ärger", "Straße", "STRASSE", "istanbul", "İSTANBUL", "Σίσυφος", "ΣΊΣΥΦΟΣ", "x-ray", None]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"eq": "äRgEr"}, ["Ärger", "ÄRGER", "ärger"]),
        ({"ne": "ärger"}, ["Straße", "STRASSE", "istanbul", "İSTANBUL", "Σίσυφος", "ΣΊΣΥΦΟΣ", "x-ray"]),
        ({"in": ["X-RAY", "strasse"]}, ["STRASSE", "x-ray"]),
        ({"contains": "RG"}, ["Ärger", "ÄRGER", "ärger"]),
        ({"contains_any": ["SS", "-"]}, ["STRASSE", "x-ray"]),
        ({"starts": "straß"}, ["Straße"]),
        ({"ends": "BUL"}, ["istanbul", "İSTANBUL"]),
        ({"starts": "i"}, ["istanbul"]),  # İ is another letter: its lower case is two
        ({"starts": "σ"}, ["Σίσυφος", "ΣΊΣΥΦΟΣ"]),
        ({"eq": "σίσυφοσ"}, ["ΣΊΣΥΦΟΣ"]),  # ς is a letter of its own
    ],
)
def test_upper_and_lower_case_do_not_matter_if_so_wished(lake: Lake, rule: dict[str, Any], expected: list[str]) -> None:
    assert matching(lake, write(lake, TEXTS), {**rule, "ignore_case": True}) == expected


def test_folding_is_letter_for_letter() -> None:
    assert fold("ÄΣ\u212aẞİ😀") == "äσkßİ😀"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"ends": "rger"}, ["Ärger", "ärger"]),
        ({"ends": "ärger"}, ["ärger"]),
        ({"ends": "ße"}, ["Straße"]),
        ({"ends": "Straße und mehr"}, []),
        ({"contains_any": ["ß", "SS"]}, ["Straße", "STRASSE"]),
        ({"between": ["Straße", "x-ray"]}, ["Straße", "istanbul", "x-ray"]),
    ],
)
def test_text_is_compared_byte_by_byte_otherwise(lake: Lake, rule: dict[str, Any], expected: list[str]) -> None:
    assert matching(lake, write(lake, TEXTS), rule) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"between": [2, 3]}, [2, 3]),
        ({"between": [1.5, 3]}, [2, 3]),
        ({"between": [2**60, 2**60]}, [2**60]),
    ],
)
def test_a_range_includes_both_ends(lake: Lake, rule: dict[str, Any], expected: list[int]) -> None:
    assert matching(lake, write(lake, [1, 2, 3, 4, 2**60, 2**60 + 1]), rule) == expected


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"older": "7d"}, "older: is not a field here; did you mean older_than?"),
        ({"older_than": "7"}, "is not a duration of at most 100 years"),
        ({"anniversary": "tomorrow"}, "anniversary"),
        ({"anniversary": {"within_next": "12h"}}, "12h: hours do not go with dates; use days or weeks"),
        ({"anniversary": {"within_next": "367d"}}, "367d: at most 366d: a year ahead"),
        ({"gt": "a", "ignore_case": True}, "ignore_case goes with contains,"),
        ({"ignore_case": True}, "no operator: exactly one is needed of eq,"),
        ({"contains_any": []}, "is empty: at least one is needed"),
        ({"contains_any": [""]}, "at least 1 character"),
        ({"between": [1]}, "between"),
    ],
)
def test_what_is_written_wrongly_is_a_clear_error(rule: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Segment.model_validate({"segment": "s", "where": {"trait": {"field": "f", **rule}}})
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("values", "rule", "problem"),
    [
        ([1], {"older_than": "7d"}, "segment s: where: f is older than 7d: older_than does not go with whole number"),
        ([1], {"eq": 1, "ignore_case": True}, "ignore_case does not go with whole number, only with text"),
        ([1], {"between": [3, 2]}, "between: 3 is more than 2; write the lower one first"),
        ([AS_OF], {"between": ["2026-02-02", "2026-01-01"]}, "between: 2026-02-02 is more than 2026-01-01"),
        (["2026-01-01"], {"newer_than": "12h"}, "12h: hours do not go with dates; use days or weeks, such as 7d or 2w"),
    ],
)
def test_what_does_not_go_with_the_field_names_the_place(
    lake: Lake, values: list[Any], rule: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        matching(lake, write(lake, values), rule)
    assert problem in raised.value.message
