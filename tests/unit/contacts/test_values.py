"""Text into typed values, a whole column at a time."""

from datetime import UTC, datetime

import polars as pl
import pytest

from campaign_pipeline.contacts.values import ValueType, clean, infer_type, locales, moments, slugs, time_zones, typed
from campaign_pipeline.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["1", "-20", None], ValueType.INTEGER),
        (["1", "2.50"], ValueType.NUMBER),
        (["true", "FALSE"], ValueType.BOOLEAN),
        (["1", "two"], ValueType.STRING),
        (["08123", "1"], ValueType.STRING),  # a leading zero: a code
        (["+43", "1"], ValueType.STRING),
        (["1234567890123456789"], ValueType.STRING),  # more than fits
        (["1e5"], ValueType.STRING),
        (["nan"], ValueType.STRING),
        ([None, None], ValueType.STRING),
    ],
)
def test_the_type_of_a_column_is_that_of_all_its_values(values: list[str | None], found: ValueType) -> None:
    assert infer_type(pl.Series(values, dtype=pl.String)) == found


def test_values_that_are_not_of_the_type_become_null() -> None:
    def read(values: list[str | None], value_type: ValueType, date_format: str | None = None) -> list[object]:
        return typed(pl.Series(values, dtype=pl.String), value_type, date_format).to_list()

    assert read(["7", "007", "1.5", "x", None], ValueType.INTEGER) == [7, 7, None, None, None]
    assert read(["7", "1e3", "inf", "NaN", "1,5"], ValueType.NUMBER) == [7.0, 1000.0, None, None, None]
    assert read(["Yes", "0", "maybe", None], ValueType.BOOLEAN) == [True, False, None, None]
    assert read(["2026-03-02", "2026-02-30"], ValueType.DATE) == ["2026-03-02", None]
    assert read(["02.03.2026"], ValueType.DATE, "%d.%m.%Y") == ["2026-03-02"]


def test_blank_cells_are_null() -> None:
    assert clean(pl.Series([" a ", "  ", "", None])).to_list() == ["a", None, None, None]


def test_times_are_read_with_and_without_an_offset() -> None:
    texts = pl.Series(
        ["2026-03-02T10:00:00Z", "2026-03-02 10:00:00.5+02:00", "2026-03-02 10:00", "2026-03-02", "soon", None]
    )
    assert moments(texts, None, "Europe/Vienna").to_list() == [
        datetime(2026, 3, 2, 10, tzinfo=UTC),
        datetime(2026, 3, 2, 8, 0, 0, 500_000, tzinfo=UTC),
        datetime(2026, 3, 2, 9, tzinfo=UTC),
        datetime(2026, 3, 1, 23, tzinfo=UTC),
        None,
        None,
    ]
    compact = moments(pl.Series(["19970101", "19971301"]), "%Y%m%d", "UTC")
    assert compact.to_list() == [datetime(1997, 1, 1, tzinfo=UTC), None]
    offset = moments(pl.Series(["02/03/2026 10:00 +0200"]), "%d/%m/%Y %H:%M %z", "UTC")
    assert offset.to_list() == [datetime(2026, 3, 2, 8, tzinfo=UTC)]
    assert moments(pl.Series([], dtype=pl.String), None, "UTC").dtype == pl.Datetime("us", "UTC")


def test_an_hour_that_the_clocks_skip_is_no_time_and_of_a_repeated_one_the_first_is_meant() -> None:
    texts = pl.Series(["2026-03-29 02:30:00", "2026-10-25 02:30:00"])
    assert moments(texts, None, "Europe/Vienna").to_list() == [None, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]


def test_locales_and_time_zones_are_checked() -> None:
    assert locales(pl.Series(["de_AT", "en", "German", None])).to_list() == ["de-AT", "en", None, None]
    assert time_zones(pl.Series(["Europe/Vienna", "Vienna", None])).to_list() == ["Europe/Vienna", None, None]


def test_column_names_become_attribute_names() -> None:
    names = ["Mail Address", "Year_Birth", "Größe (cm)", "2nd", "名前"]
    assert list(slugs(names)) == ["mail_address", "year_birth", "grosse_cm", "column_2nd", "column"]
    with pytest.raises(InvalidInput, match="'A b' and 'a_B' would both be called 'a_b'"):
        slugs(["A b", "a_B"])
