"""What the first digits of a telephone number say of where its owner is: country, region and time zone.

From the tables of phonenumbers. They are asked once for each area (a code of country and city), not for each number:
a number's area has all the zones that the library names for any number in it, never fewer than it names for the number
itself, as a test says. Only in North America's islands it is more exact: their area codes are theirs alone.
"""

from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers.tzdata import TIMEZONE_DATA

from campaign_pipeline.contacts.regions import region_code

AREA = 5
"""Characters of a number in E.164, from its plus sign on, that make its area."""

NORTH_AMERICA = 1

_NO_COUNTRY = "001"
"""The library's word for codes of no country, such as those of satellites."""

_ENTRIES = tuple(sorted(TIMEZONE_DATA))


class Area(NamedTuple):
    countries: tuple[str, ...]  # ISO 3166-1; several share some codes
    regions: tuple[str, ...]  # such as US-TX; () if the area does not say
    zones: tuple[str, ...]  # sorted; () if nothing is known


NOWHERE = Area((), (), ())


@lru_cache(maxsize=20_000)
def area_of(prefix: str) -> Area:
    """The area of all numbers in E.164 that begin with `prefix`: their first AREA characters."""
    digits = prefix.removeprefix("+")
    code = next((digits[:size] for size in (1, 2, 3) if _is_country_code(digits[:size])), None)
    if code is None or not digits.isdigit():
        return NOWHERE
    countries = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
    if int(code) == NORTH_AMERICA:
        found, regions = _in_north_america(digits[1:4])
        return Area((found,) if found else countries, regions, _zones(code, digits[:4]))
    geographical = phonenumbers.is_number_type_geographical(phonenumbers.PhoneNumberType.MOBILE, int(code))
    zones = _zones(code, digits[: AREA - 1] if geographical else code)
    return Area(tuple(each for each in countries if each != _NO_COUNTRY), (), zones)


def _is_country_code(digits: str) -> bool:
    return digits.isdigit() and int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def _zones(code: str, digits: str) -> tuple[str, ...]:
    """Of all entries of the library that begin with `digits`; else of the longest that `digits` begin with."""
    within = _ENTRIES[bisect_left(_ENTRIES, digits) : bisect_left(_ENTRIES, f"{digits}:")]  # a colon follows all digits
    if digits == code or not within:
        shorter = (digits[:size] for size in range(len(digits), len(code) - 1, -1))
        within = tuple(entry for entry in shorter if entry in TIMEZONE_DATA)[:1]
    return tuple(sorted({zone for entry in within for zone in TIMEZONE_DATA[entry]}))


def _in_north_america(area_code: str) -> tuple[str | None, tuple[str, ...]]:
    """Country and regions of an area code; () where it does not belong to one country, or to no region of ours."""
    from phonenumbers import geocoder  # takes half a second: only who has such numbers pays for it

    if len(area_code) < 3:
        return None, ()
    number = phonenumbers.PhoneNumber(country_code=NORTH_AMERICA, national_number=int(f"{area_code}5550100"))
    country = phonenumbers.region_code_for_number(number)
    if country is None:
        return None, ()
    described = geocoder.description_for_number(number, "en")  # `Texas`, `Chicago, IL`, `Nova Scotia/Prince ...`
    named = [region_code(country, name) for name in described.rpartition(", ")[2].split("/")]
    return country, tuple(name for name in named if name) if all(named) else ()
