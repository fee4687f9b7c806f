"""States and provinces of countries in which they matter for when a contact may be sent to (regions.yaml).

A region is written as in ISO 3166-2: `US-TX`.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import RootModel

from campaign_pipeline.core.definitions import Definition, read_yaml

FILE = Path(__file__).with_name("regions.yaml")


class Region(Definition):
    name: str
    also: tuple[str, ...] = ()  # other spellings
    zones: tuple[str, ...]


class _File(RootModel[dict[str, dict[str, Region]]]):
    pass


@lru_cache(maxsize=1)
def regions() -> Mapping[str, Region]:
    """All of them, by code."""
    countries = _File.model_validate(read_yaml(FILE)[0]).root
    return {f"{country}-{code}": region for country, codes in countries.items() for code, region in codes.items()}


@lru_cache(maxsize=1)
def spellings() -> Mapping[tuple[str, str], str]:
    """(country, how people write a region, in lower case) -> code: `TX`, `US-TX` and `Texas` alike."""
    return {
        (code[:2], text.casefold()): code
        for code, region in regions().items()
        for text in (code, code[3:], region.name, *region.also)
    }


def region_code(country: str, text: str) -> str | None:
    """The code of what somebody wrote as a region of `country`; None if it is none of ours."""
    return spellings().get((country, text.strip().casefold()))
