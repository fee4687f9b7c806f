"""When each contact of a run is sent to: at the run's time or at a local time, and not in quiet hours.

Worked out once for each place that contacts are at (time zone, region, area of the telephone number, country), of
which there are few, and joined back to the contacts, of which there are many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time

import polars as pl

from campaign_pipeline.campaigns.definition import Cron
from campaign_pipeline.campaigns.places import Place, place_of
from campaign_pipeline.campaigns.quiet_hours import QuietHoursPolicy, Rule, window_of
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.campaigns.windows import next_allowed
from campaign_pipeline.contacts.phone_areas import AREA
from campaign_pipeline.contacts.regions import spellings
from campaign_pipeline.core.local_time import first_at

UTC_TIME = pl.Datetime("us", "UTC")
SCHEMA: dict[str, pl.DataType] = {"wanted_at": UTC_TIME, "send_at": UTC_TIME, "window": pl.String()}

REGION_ATTRIBUTES = ("region", "state")
"""Attributes that may say in which state or province a contact is; the first that says something known counts."""

WHERE = ("timezone", "phone", "country", *REGION_ATTRIBUTES)
"""Columns of contacts that say where they are: all that `send_times` looks at."""

_PLACE = ("timezone", "region", "area", "country")


@dataclass(frozen=True)
class Timing:
    """What decides of a run's times."""

    as_of: datetime
    local_time: time | None
    otherwise: str  # the zone of contacts of whom none is known
    deadline: datetime | None
    rules: Sequence[Rule]  # of all its channels
    holds: bool  # whether its first channel keeps quiet hours; else only a fallback does

    @classmethod
    def of(cls, run: Run, policy: QuietHoursPolicy) -> "Timing":
        campaign, schedule = run.campaign, run.campaign.schedule
        respects = campaign.quiet_hours == "respect"
        by_channel = [
            policy.in_force(channel, campaign.purpose, run.as_of.date()) if respects else ()
            for channel, _ in campaign.steps
        ]
        return cls(
            run.as_of,
            time.fromisoformat(campaign.local_time) if campaign.local_time else None,
            schedule.timezone if isinstance(schedule, Cron) else "UTC",
            run.deadline,
            tuple({rule.rule: rule for rules in by_channel for rule in rules}.values()),
            bool(by_channel[0]),
        )


def send_times(contacts: pl.DataFrame, timing: Timing) -> pl.DataFrame:
    """Columns wanted_at, send_at, window (SCHEMA): a row for each of `contacts`, in their order.

    `contacts`: timezone, phone (E.164), country and the REGION_ATTRIBUTES, as far as there are such columns.
    wanted_at: the run's time, or the contact's next `local_time`; send_at: the first moment from then on that the
    window allows. Where there is none before the deadline, send_at is wanted_at: dispatch ends such messages there.
    """
    if timing.local_time is None and not timing.rules:
        now = pl.lit(timing.as_of, dtype=UTC_TIME)
        return contacts.select(pl.repeat(now, pl.len()).alias("wanted_at")).with_columns(
            send_at="wanted_at", window=pl.lit("")
        )
    places = contacts.select(**place_columns(contacts))
    known = places.unique()
    memory = dict[tuple[object, ...], _Times]()
    rows = [_remembered(place_of(*row, otherwise=timing.otherwise), timing, memory) for row in known.iter_rows()]
    times = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    joined = places.join(
        pl.concat([known, times], how="horizontal"), on=_PLACE, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined.select(*SCHEMA)


_Times = tuple[datetime, datetime, str]


def _remembered(place: Place, timing: Timing, memory: dict[tuple[object, ...], _Times]) -> _Times:
    """`_times`, once for all places that are the same to it."""
    key = place if timing.local_time else (place.countries, place.regions, place.zones[0])
    if key not in memory:
        memory[key] = _times(place, timing)
    return memory[key]


def _times(place: Place, timing: Timing) -> _Times:
    window = window_of(place, timing.rules, timing.as_of)
    wanted = _wanted(place, timing)
    allowed = next_allowed(window, wanted) if timing.holds else wanted
    if allowed is None or (timing.deadline and allowed > timing.deadline):
        return wanted, wanted, window
    return wanted, allowed, window


def _wanted(place: Place, timing: Timing) -> datetime:
    """By the best of what is known that leaves one moment only."""
    if timing.local_time is None:
        return timing.as_of
    for zones in place.zones:
        moments = {first_at(zone, timing.local_time, timing.as_of) for zone in zones}
        if len(moments) == 1:
            return moments.pop()
    return first_at(timing.otherwise, timing.local_time, timing.as_of)


def place_columns(contacts: pl.DataFrame) -> dict[str, pl.Expr]:
    """The columns timezone, region (a code), area and country of `contacts` (see send_times): what place_of takes."""
    nothing = pl.lit(None, dtype=pl.String)

    def text(name: str) -> pl.Expr:
        return pl.col(name) if contacts.schema.get(name) == pl.String else nothing

    country = text("country").str.to_uppercase()
    area = text("phone").str.slice(0, AREA)
    return {
        "timezone": text("timezone"),
        "region": pl.coalesce(_region(country, area, text(name)) for name in REGION_ATTRIBUTES),
        "area": area,
        "country": country,
    }


def _region(country: pl.Expr, area: pl.Expr, written: pl.Expr) -> pl.Expr:
    """The code of the region that `written` names, in the country, or on its own for numbers of North America."""
    codes = {f"{where}:{name}": code for (country, name), code in spellings().items() for where in (country, "+1")}
    where = country.fill_null(pl.when(area.str.starts_with("+1")).then(pl.lit("+1")))
    key = pl.concat_str(where, pl.lit(":"), written.str.strip_chars().str.to_lowercase())
    names = pl.Series(list(codes), dtype=pl.String)
    return key.replace_strict(names, pl.Series(list(codes.values())), default=None, return_dtype=pl.String)
