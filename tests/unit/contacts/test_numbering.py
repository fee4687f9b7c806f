"""Which numbers are those of the United States: the country code 1 is not only theirs."""

import polars as pl
import pytest

from campaign_pipeline.contacts.numbering import is_us, us_marketing


@pytest.mark.parametrize(
    ("number", "ours"),
    [
        ("+12125550100", True),
        ("+18005550100", True),  # toll-free: shared, so that nobody can say
        ("+19995550100", True),  # an area code that nobody has yet
        ("+14165550100", False),  # Toronto
        ("+18765550100", False),  # Jamaica
        ("+447700900123", False),
        ("+4915112345678", False),
    ],
)
def test_numbers_of_the_united_states(number: str, ours: bool) -> None:
    assert is_us(number) is ours
    found = us_marketing(pl.Series([number, None, number], dtype=pl.String))
    assert found.rows() == ([(number, "whatsapp_us_marketing")] if ours else [])


def test_nobody() -> None:
    assert us_marketing(pl.Series([], dtype=pl.String)).schema == {"address": pl.String, "reason": pl.String}
