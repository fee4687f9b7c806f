"""Where a contact may be: the best of what is known, and every zone that it leaves open."""

from importlib.resources import files
from zoneinfo import available_timezones

import pytest

from campaign_pipeline.campaigns.places import Place, in_order, place_of, zones_of_country
from campaign_pipeline.contacts.regions import regions


def place(
    timezone: str | None = None, region: str | None = None, area: str | None = None, country: str | None = None
) -> Place:
    return place_of(timezone, region, area, country, "UTC")


def test_its_own_zone_is_the_best_that_is_known() -> None:
    found = place("Europe/Berlin", "US-TX", "+1212", "US")
    assert found.zones[0] == ("Europe/Berlin",)
    assert found.zones[1] == ("America/Chicago", "America/Denver")
    assert found.zones[2] == ("America/New_York",)
    assert found.zones[-1] == ("UTC",)


def test_a_zone_that_does_not_exist_is_passed_over() -> None:
    assert place("Europe/Nowhere", country="FR").zones == (("Europe/Paris",), ("UTC",))


def test_nothing_known_leaves_the_zone_of_the_schedule() -> None:
    assert place() == Place(frozenset(), frozenset(), (("UTC",),))


def test_a_region_that_is_written_speaks_for_its_country_not_the_area_code() -> None:
    found = place(region="US-FL", area="+1212", country="US")
    assert found.possible_regions("US") == {"US-FL"}
    assert found.zones[0] == ("America/New_York", "America/Chicago")
    assert place(area="+1212", country="US").possible_regions("US") == {"US-NY"}
    assert place(area="+1800", country="US").possible_regions("US") == frozenset()


def test_the_rules_of_the_number_and_of_the_contacts_country_both_hold() -> None:
    found = place(region="CA-ON", area="+1212", country="CA")
    assert found.countries == {"CA", "US"}
    assert found.regions == {"CA-ON", "US-NY"}


def test_the_contacts_country_decides_between_countries_that_share_a_code() -> None:
    assert place(area="+7916").countries == {"RU", "KZ"}
    found = place(area="+7916", country="RU")
    assert found.countries == {"RU"}
    assert found.zones[0][0] == "Europe/Moscow"
    assert not {"Asia/Almaty", "Europe/Bucharest"} & set(found.zones[0])
    assert "Asia/Almaty" in place(area="+7916").zones[0]


def test_a_country_has_all_its_zones_and_the_most_people_come_first() -> None:
    assert zones_of_country("DE") == ("Europe/Berlin", "Europe/Busingen")
    assert zones_of_country("US")[0] == "America/New_York"
    assert zones_of_country("XX") == ()
    assert in_order(["Mars/Olympus", "America/Denver", "America/Chicago"]) == (
        "America/Chicago",
        "America/Denver",
        "Mars/Olympus",
    )


@pytest.mark.parametrize("code", sorted(regions()))
def test_the_zones_of_a_region_exist_in_its_country(code: str) -> None:
    zones = regions()[code].zones
    assert set(zones) <= available_timezones()
    rows = files("tzdata").joinpath("zoneinfo/zone1970.tab").read_text().splitlines()
    countries = {row.split("\t")[2]: row.split("\t")[0].split(",") for row in rows if not row.startswith("#")}
    assert [zone for zone in zones if zone in countries and code[:2] not in countries[zone]] == []
