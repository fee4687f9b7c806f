"""Whose numbers are those of the United States: to them WhatsApp delivers no marketing templates since 2025-04-01.

The country code 1 is shared by 25 countries; the area code after it says which one.
Source: Meta, WhatsApp per-user marketing template limits; Twilio error 63049.
"""

from functools import lru_cache

import phonenumbers
import polars as pl

US_MARKETING = "whatsapp_us_marketing"
"""The reason with which such numbers are left out."""

_AREA = 5
"""Characters up to the area code: +1 and three digits."""


def is_us(number: str) -> bool:
    """Whether an E.164 number is, or may be, one of the United States: an area code that nobody has yet may be."""
    return number.startswith("+1") and _is_us_area(number[:_AREA])


def us_marketing(numbers: pl.Series) -> pl.DataFrame:
    """(address, reason: String) of those of `numbers` (E.164; nulls are passed over) that are of the United States."""
    northern = numbers.drop_nulls().unique().rename("address")
    northern = northern.filter(northern.str.starts_with("+1"))
    areas = northern.str.slice(0, _AREA)
    ours = [area for area in areas.unique() if is_us(area)]
    found = northern.filter(areas.is_in(ours)).to_frame()
    return found.select(pl.col("address").cast(pl.String), reason=pl.lit(US_MARKETING))


@lru_cache(maxsize=1000)
def _is_us_area(area: str) -> bool:
    example = phonenumbers.PhoneNumber(country_code=1, national_number=int((area[2:] + "2000100").ljust(10, "0")[:10]))
    return phonenumbers.region_code_for_number(example) in ("US", None)
