"""What an area code says of where its owner is, compared with phonenumbers number by number."""

import phonenumbers
import pytest
from phonenumbers import timezone

from campaign_pipeline.contacts.phone_areas import AREA, NORTH_AMERICA, NOWHERE, area_of
from campaign_pipeline.contacts.regions import region_code, regions

MOBILE = phonenumbers.PhoneNumberType.MOBILE


def area(number: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return tuple(area_of(number[:AREA]))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("number", "countries", "where", "zones"),
    [
        ("+12125550100", ("US",), ("US-NY",), ("America/New_York",)),
        ("+14155550100", ("US",), ("US-CA",), ("America/Los_Angeles",)),
        ("+12025550100", ("US",), ("US-DC",), ("America/New_York",)),
        ("+12065550100", ("US",), ("US-WA",), ("America/Los_Angeles",)),
        ("+18505550100", ("US",), ("US-FL",), ("America/Chicago", "America/New_York")),  # the zones part it
        ("+14165550100", ("CA",), ("CA-ON",), ("America/Toronto",)),
        ("+19025550100", ("CA",), ("CA-NS", "CA-PE"), ("America/Halifax",)),
        ("+17875550100", ("PR",), (), ("America/Puerto_Rico",)),
        ("+12425550100", ("BS",), (), ("America/Nassau",)),
        ("+4915112345678", ("DE",), (), ("Europe/Berlin",)),
        ("+5511987654321", ("BR",), (), ("America/Sao_Paulo",)),
        ("+919876543210", ("IN",), (), ("Asia/Calcutta",)),
    ],
)
def test_an_area_says_country_region_and_zones(
    number: str, countries: tuple[str, ...], where: tuple[str, ...], zones: tuple[str, ...]
) -> None:
    assert area(number) == (countries, where, zones)


def test_numbers_of_no_place_may_be_anywhere_in_their_country() -> None:
    countries, where, zones = area("+18005550100")
    assert (countries, where) == (("US",), ())
    assert {"America/New_York", "Pacific/Honolulu"} < set(zones)
    assert {"Australia/Perth", "Australia/Sydney"} < set(area("+61412345678")[2])


def test_countries_that_share_a_code_are_all_possible() -> None:
    assert area("+79161234567")[0] == ("RU", "KZ")
    assert area("+447700900123") == (
        ("GB", "GG", "IM", "JE"),
        (),
        ("Europe/Guernsey", "Europe/Isle_of_Man", "Europe/Jersey", "Europe/London"),
    )


@pytest.mark.parametrize("prefix", ["", "+", "+0", "+999", "x", "+1abc"])
def test_what_is_no_number_is_nowhere(prefix: str) -> None:
    assert area_of(prefix) == NOWHERE


def test_codes_of_no_country_belong_to_none() -> None:
    assert area_of("+8835").countries == ()


def test_an_area_never_has_fewer_zones_than_the_library_names_for_a_mobile_number() -> None:
    compared = 0
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number_for_type(country, MOBILE)
        if number is None:
            continue
        found = area(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
        assert country in found[0]
        if number.country_code == NORTH_AMERICA and country not in ("US", "CA"):
            assert len(found[2]) == 1  # an island's area code is its own: the library names all of the continent
        else:
            assert set(timezone.time_zones_for_number(number)) <= set(found[2])
        compared += 1
    assert compared > 200


def test_every_area_code_of_the_united_states_belongs_to_states_that_are_known() -> None:
    seen = {region for code in range(200, 1000) for region in area_of(f"+1{code}").regions}
    assert {code for code in regions() if code not in seen} == set()


def test_regions_are_known_by_code_and_name() -> None:
    assert {region_code("US", text) for text in ("TX", "tx ", "US-TX", "Texas", "TEXAS")} == {"US-TX"}
    assert region_code("CA", "Québec") == "CA-QC"
    assert region_code("US", "ON") is None
    assert region_code("DE", "BY") is None
    assert region_code("CA", "ON") == "CA-ON"  # not a YAML truth value
