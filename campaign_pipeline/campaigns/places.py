"""Where a contact may be: the countries and regions whose rules hold, and the time zones that it may live in.

Of what is known of a contact the best that says something counts, in this order: its own time zone; its region (an
attribute); the area of its telephone number; its country. All zones that this allows are possible, and whoever must
not disturb it has to look at all of them.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import available_timezones

from campaign_pipeline.contacts.phone_areas import area_of
from campaign_pipeline.contacts.regions import regions


class Place(NamedTuple):
    countries: frozenset[str]  # ISO 3166-1: of the telephone number, and of the contact
    regions: frozenset[str]  # such as US-TX; none of a country's: it may be any
    zones: tuple[tuple[str, ...], ...]  # possible zones by what they follow from, the best first; never empty

    def possible_regions(self, country: str) -> frozenset[str]:
        """Those of `country`; empty if nothing is known."""
        return frozenset(region for region in self.regions if region.startswith(f"{country}-"))


def place_of(timezone: str | None, region: str | None, area: str | None, country: str | None, otherwise: str) -> Place:
    """`region`: a code such as US-TX; `area`: the first characters of the number in E.164 (phone_areas.AREA);
    `otherwise`: the zone of a contact of which nothing is known."""
    here = area_of(area) if area else None
    own = frozenset([country] if country else [])
    of_number = frozenset(here.countries if here else [])
    if len(of_number) > 1 and own & of_number:
        of_number = own & of_number  # several countries share the code
    of_area = [each for each in here.regions if here and each[:2] in of_number] if here else []
    if region:  # speaks for the whole of its country: the number may be from another time of the contact's life
        of_area = [each for each in of_area if each[:2] != region[:2]]
    zones = (
        (timezone,) if timezone and timezone in _known_zones() else (),
        regions()[region].zones if region else (),
        _not_elsewhere(here.zones, own | of_number) if here else (),
        zones_of_country(country) if country else (),
        (otherwise,),
    )
    return Place(
        own | of_number,
        frozenset([*of_area, *([region] if region else [])]),
        tuple(each for each in zones if each),
    )


@lru_cache(maxsize=10_000)
def _not_elsewhere(zones: tuple[str, ...], countries: frozenset[str]) -> tuple[str, ...]:
    """`zones` without those that belong to other countries; all of them if none is left."""
    left = tuple(zone for zone in zones if _country_of_zone().get(zone) in {None, *countries})
    return in_order(left or zones)


@lru_cache(maxsize=300)
def zones_of_country(country: str) -> tuple[str, ...]:
    """The zones of a country (ISO 3166-1), in the order of the tz database: most people first."""
    return tuple(zone for zone, where in _country_of_zone().items() if where == country)


def in_order(zones: Iterable[str]) -> tuple[str, ...]:
    """`zones` in the order of the tz database, unknown ones at the end."""
    order = _order()
    return tuple(sorted(zones, key=lambda zone: (order.get(zone, len(order)), zone)))


@lru_cache(maxsize=1)
def _order() -> Mapping[str, int]:
    return {zone: place for place, zone in enumerate(_country_of_zone())}


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1)
def _country_of_zone() -> Mapping[str, str]:
    lines = files("tzdata").joinpath("zoneinfo/zone.tab").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {row[2]: row[0] for row in rows}
