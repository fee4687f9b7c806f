"""Quiet hours: the rules that hold for a contact, and the window that they leave.

Rules are data (quiet_hours.yaml), and a team adds its own and takes others out in its sending policy. Of several
rules, regions and time zones that are possible all count: the window is what each of them allows in each zone.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from campaign_pipeline.campaigns.places import Place
from campaign_pipeline.campaigns.windows import ANY_TIME, Week, Window, common_hours, read_week, spell_week
from campaign_pipeline.contacts.regions import regions
from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.core.local_time import DAY, distinct_clocks
from campaign_pipeline.core.words import Channel

FILE = Path(__file__).with_name("quiet_hours.yaml")

HOLIDAYS_AHEAD = timedelta(days=370)
"""How far after a run's time its windows know of holidays."""


def _week(text: str) -> str:
    return spell_week(read_week(text))


def _iso(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _region(code: str) -> str:
    if code not in regions():
        raise ValueError("is not a region that is known here, such as US-TX")
    return code


Country = Annotated[str, Field(pattern="^[A-Z]{2}$")]
RuleName = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,49}$")]


class Rule(Definition):
    rule: RuleName
    countries: tuple[Country, ...] = Field((), description="ISO 3166-1; absent: everywhere.")
    regions: tuple[Annotated[str, AfterValidator(_region)], ...] = Field(
        (), description="ISO 3166-2, such as US-TX; absent: everywhere in the countries."
    )
    channels: tuple[Channel, ...] = Field((), description="Absent: every channel that keeps quiet hours.")
    purposes: tuple[str, ...] = Field((), description="Of campaigns; absent: every purpose.")
    hours: Annotated[str, AfterValidator(_week)] = Field(
        description="Local time: 08:00-20:00, or by days: Mo-Fr 09:00-18:00 Sa 10:00-17:00; other days are closed."
    )
    holidays: Annotated[str, Field(pattern="^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = Field(
        None, description="Closed on the public holidays of this country or region, such as FR or US-LA."
    )
    since: Annotated[date | None, BeforeValidator(_iso)] = None
    source: str = Field(min_length=1, description="The law, the regulator or the decision that it follows.")
    url: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _regions_are_in_the_countries(self) -> Self:
        if strange := [region for region in self.regions if region[:2] not in self.countries]:
            raise ValueError(f"regions: {strange[0]} is in none of its countries")
        return self

    @property
    def week(self) -> Week:
        return read_week(self.hours)

    def holds_for(self, place: Place) -> bool:
        """Whether it may hold for a contact there: where the region is not known, every region is possible."""
        if not self.countries:
            return True
        for country in place.countries.intersection(self.countries):
            possible = place.possible_regions(country)
            if not self.regions or not possible or possible.intersection(self.regions):
                return True
        return False


class RuleBook(Definition):
    """The rules that come with the product."""

    version: str
    rules: tuple[Rule, ...]


@lru_cache(maxsize=1)
def rule_book() -> RuleBook:
    return read_definition(FILE, RuleBook)


class QuietHoursPolicy(Definition):
    """What a team decides about quiet hours, in its sending policy."""

    channels: Annotated[tuple[Channel, ...], Field(description="That keep quiet hours at all.")] = (
        Channel.SMS,
        Channel.WHATSAPP,
    )
    rules: Annotated[
        tuple[Rule, ...], Field(description="The team's own; one with the name of a known rule replaces it.")
    ] = ()
    without: Annotated[tuple[RuleName, ...], Field(description="Known rules that do not hold for the team.")] = ()

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        known = {rule.rule for rule in rule_book().rules}
        if unknown := [name for name in self.without if name not in known]:
            raise ValueError(
                f"without: there is no rule {unknown[0]!r}; those that there are: {', '.join(sorted(known))}"
            )
        names = [rule.rule for rule in self.rules]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"rules: {twice[0]!r} is given twice")
        for rule in self.rules:
            if rule.holidays:
                holidays_of(rule.holidays, date(2026, 1, 1), date(2026, 1, 1))
        return self

    def in_force(self, channel: Channel, purpose: str, on: date) -> tuple[Rule, ...]:
        """The rules for messages of this channel and purpose on that day; none if the channel keeps no quiet hours."""
        if channel not in self.channels:
            return ()
        replaced = {*self.without, *(rule.rule for rule in self.rules)}
        every = [*(rule for rule in rule_book().rules if rule.rule not in replaced), *self.rules]
        return tuple(
            rule
            for rule in every
            if (not rule.channels or channel in rule.channels)
            and (not rule.purposes or purpose in rule.purposes)
            and (rule.since is None or rule.since <= on)
        )


def window_of(place: Place, rules: Sequence[Rule], as_of: datetime) -> str:
    """The window of a contact there, for a run at `as_of`, as windows.py reads it; empty if no rule holds for it."""
    holding = [rule for rule in rules if rule.holds_for(place)]
    if not holding:
        return ANY_TIME
    start, end = as_of.date() - DAY, (as_of + HOLIDAYS_AHEAD).date()
    off = [holidays_of(rule.holidays, start, end) for rule in holding if rule.holidays]
    zones = place.zones[0]
    if len(zones) > 1:
        zones = distinct_clocks(zones, as_of)
    return Window(common_hours(rule.week for rule in holding), frozenset[date]().union(*off), zones).key()


@lru_cache(maxsize=1_000)
def holidays_of(code: str, start: date, end: date) -> frozenset[date]:
    """The public holidays of a country or region (`FR`, `US-LA`) from `start` to `end`; ValueError if unknown."""
    from holidays import country_holidays  # takes a fifth of a second: only who has such a rule pays for it

    country, _, region = code.partition("-")
    try:
        known = country_holidays(country, subdiv=region or None, years=range(start.year, end.year + 1))
    except NotImplementedError:
        raise ValueError(f"the holidays of {code!r} are not known") from None
    return frozenset(day for day in known if start <= day <= end)


def as_table(rules: Iterable[Rule]) -> list[dict[str, str]]:
    """For people, a row a rule: rule, where, hours, since, source."""
    return [
        {
            "rule": rule.rule,
            "where": ", ".join(rule.regions or rule.countries) or "everywhere",
            "hours": rule.hours + (", no public holidays" if rule.holidays else ""),
            "since": rule.since.isoformat() if rule.since else "",
            "source": rule.source,
        }
        for rule in rules
    ]
