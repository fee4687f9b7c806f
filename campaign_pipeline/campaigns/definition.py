"""A campaign as its author writes it: who, what, when, how it is tested, and what happens in doubt."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from croniter import CroniterBadDateError, croniter
from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from campaign_pipeline.campaigns.analysis import DEFAULTS, Analysis
from campaign_pipeline.campaigns.conversion import Conversion
from campaign_pipeline.campaigns.durations import Duration
from campaign_pipeline.campaigns.experiment import ON_ALL, ExperimentDesign
from campaign_pipeline.campaigns.names import Name
from campaign_pipeline.campaigns.rollout import Rollout, Thompson
from campaign_pipeline.contacts.addresses import EXAMPLES, channel_address
from campaign_pipeline.core.clock import as_utc
from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.core.words import Channel, ConversionGoal, EventType
from campaign_pipeline.segments.moments import Zone

GOALS = (
    EventType.DELIVERED,
    EventType.READ,
    EventType.OPENED,
    EventType.CLICKED,
    EventType.REPLIED,
    EventType.UNSUBSCRIBED,
    *ConversionGoal,
)

NOT_IN_TEST = "not_in_test"
"""In place of a variant, of contacts that get the control's message outside of the experiment."""

MOST_VARIANTS = 20
DOUBT_WINDOW = timedelta(days=3)
FALLBACK_WITHIN = timedelta(hours=24)
MOST_SEEDS = 50

_RANDOM = re.compile(r"\br\b", re.IGNORECASE)  # croniter's own: another time whenever it is asked

UtmValue = Annotated[str, Field(max_length=100)]
LocalTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""HH:MM, 00:00 to 23:59."""


class Variant(Definition):
    """One arm: its share of those who are sent to, and what they get."""

    name: Name
    weight: float = Field(gt=0, allow_inf_nan=False, description="Relative to the other variants' weights.")
    template: Name


class Utm(Definition):
    """Parameters for the web links of e-mails. Absent: what is said of it below; empty: that parameter is left out."""

    source: UtmValue | None = Field(None, description="utm_source; the channel if absent.")
    medium: UtmValue | None = Field(None, description="utm_medium; the channel if absent.")
    campaign: UtmValue | None = Field(None, description="utm_campaign; the campaign's name if absent.")
    content: UtmValue | None = Field(None, description="utm_content; the variant's name if absent.")
    term: UtmValue | None = Field(None, description="utm_term; left out if absent.")

    def parameters(self, channel: Channel, campaign: str, variant: str) -> dict[str, str]:
        """By name of the parameter, for one variant."""
        defaults = {"source": channel.value, "medium": channel.value, "campaign": campaign, "content": variant}
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return {f"utm_{name}": value for name, value in (defaults | given).items() if value}


def _switch(value: object) -> object:
    """`true`: with its defaults; `false`: not at all."""
    if isinstance(value, bool):
        return {} if value else None
    return value


class At(Definition):
    """Once, at a moment with a zone."""

    at: datetime

    @field_validator("at", mode="before")
    @classmethod
    def _is_written_out(cls, value: object) -> object:
        if str(value).isdigit():  # would be read as seconds since 1970
            raise ValueError("is not a time such as 2026-03-02T09:00:00+01:00")
        return value

    @field_validator("at")
    @classmethod
    def _has_a_zone(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("needs a zone, such as 2026-03-02T09:00:00+01:00")
        return as_utc(value).replace(microsecond=0)  # as runs are named


class Cron(Definition):
    """Again and again. Occurrences that were missed are skipped for the newest one, or caught up with one by one."""

    cron: str
    timezone: Zone = "UTC"
    missed: Literal["skip", "catch_up"] = Field("skip", exclude_if=lambda value: value == "skip")

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if not croniter.is_valid(value) or len(value.split()) != 5 or _RANDOM.search(value):
            raise ValueError("is not a cron expression with five fields, such as '0 9 * * 1'")
        try:
            croniter(value).get_next()
        except CroniterBadDateError:
            raise ValueError("names a day that never comes") from None
        return value


class Fallback(Definition):
    """Another channel for those whom the channels before certainly did not reach."""

    channel: Channel
    templates: dict[Name, Name] = Field(description="variant -> template of this channel")


def _kind(value: object) -> str | None:
    """Which form of schedule `value` is meant to be, so that errors speak of that one alone."""
    if isinstance(value, At) or (isinstance(value, Mapping) and "at" in value):
        return "once"
    if isinstance(value, Cron) or (isinstance(value, Mapping) and "cron" in value):
        return "again"
    return "now" if value == "now" else None


Schedule = Annotated[
    Annotated[Literal["now"], Tag("now")] | Annotated[At, Tag("once")] | Annotated[Cron, Tag("again")],
    Discriminator(
        _kind, custom_error_type="schedule", custom_error_message="is none of: now, {at: TIME}, {cron: FIELDS}"
    ),
]


class Campaign(Definition):
    campaign: Name
    description: str = ""
    channel: Channel
    segment: Name
    purpose: str = Field(
        "marketing", pattern="^[a-z][a-z0-9_]*$", description="What the contact must have consented to."
    )
    variants: tuple[Variant, ...]
    holdout: float = Field(0, ge=0, le=50, description="Percent of the audience that is deliberately not sent to.")
    schedule: Schedule | None = Field(None, description="Absent: it runs when somebody runs it.")
    goal: EventType | ConversionGoal = Field(EventType.CLICKED, description="The metric that decides between variants.")
    decide_after: Duration = Field(
        timedelta(days=2), description="How long after the run's time the result decides: looking earlier cries wolf."
    )
    analysis: Analysis = Field(
        DEFAULTS, exclude_if=lambda value: value == DEFAULTS, description="How the variants are compared."
    )
    send_before: Duration | None = Field(None, description="How long after the run's time a message may still go out.")
    snapshot_max_age: Duration | None = Field(
        None, description="How old the contacts may be from which the audience is frozen; absent: any age."
    )
    on_doubt: Literal["never_duplicate", "never_lose"] = "never_duplicate"
    # These are not stored where they are as they were before there were such fields: no version changes by them.
    utm: Annotated[Utm | None, BeforeValidator(_switch)] = Field(
        None, exclude_if=lambda value: value is None, description="What the links of e-mails carry for web analytics."
    )
    track_clicks: Literal["provider", "own", "none"] = Field(
        "provider", exclude_if=lambda value: value == "provider", description="Who learns of clicks in e-mails."
    )

    seeds: tuple[str, ...] = Field(
        (), exclude_if=lambda value: not value, description="Addresses of the team, which get copies of every run."
    )
    doubt_window: Duration = Field(
        DOUBT_WINDOW,
        exclude_if=lambda value: value == DOUBT_WINDOW,
        description="How long a message in doubt is asked after, before on_doubt decides.",
    )
    local_time: LocalTime | None = Field(
        None, exclude_if=lambda value: value is None, description="HH:MM: sent at this time of the contact's own day."
    )
    quiet_hours: Literal["respect", "ignore"] = Field(
        "respect", exclude_if=lambda value: value == "respect", description="Whether hours of rest hold for it."
    )
    fallback: tuple[Fallback, ...] = Field(
        (), exclude_if=lambda value: not value, description="Channels to try next, in this order."
    )
    fallback_within: Duration = Field(
        FALLBACK_WITHIN,
        exclude_if=lambda value: value == FALLBACK_WITHIN,
        description="How long after the run's time another channel may still be tried.",
    )
    experiment: ExperimentDesign | None = Field(
        None, exclude_if=lambda value: value is None, description="How it is tested, if not on all under its own name."
    )

    rollout: Rollout | None = Field(
        None, exclude_if=lambda value: value is None, description="Test on some first; the others get what won."
    )

    conversion: Annotated[Conversion | None, BeforeValidator(_switch)] = Field(
        None, exclude_if=lambda value: value is None, description="What counts as a conversion; absent: nothing does."
    )

    @field_validator("goal", mode="before")
    @classmethod
    def _is_a_goal(cls, value: object) -> object:
        if value not in GOALS:
            raise ValueError(f"must be one of {', '.join(GOALS)}")
        return value

    @field_validator("variants")
    @classmethod
    def _variants_differ(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        if not 1 <= len(variants) <= MOST_VARIANTS:
            raise ValueError(f"needs 1 to {MOST_VARIANTS} variants, not {len(variants)}")
        names = [variant.name for variant in variants]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the name {sorted(twice)[0]!r} is given twice")
        if NOT_IN_TEST in names:
            raise ValueError(f"the name {NOT_IN_TEST!r} is taken: those outside of the experiment have it")
        return variants

    @model_validator(mode="after")
    def _has_links(self) -> Self:
        if self.channel is not Channel.EMAIL:
            if self.utm is not None:
                raise ValueError(
                    f"utm is for the links of e-mails: write the parameters into the text of the {self.channel}"
                )
            if self.track_clicks == "own":
                raise ValueError("track_clicks: own is for the links of e-mails")
        return self

    @model_validator(mode="after")
    def _has_seeds(self) -> Self:
        if len(self.seeds) > MOST_SEEDS:
            raise ValueError(f"seeds: at most {MOST_SEEDS} addresses")
        for address in self.seeds:
            if channel_address(self.channel, address, "US") != address:
                form = EXAMPLES[self.channel] + (", in lower case" if self.channel is Channel.EMAIL else "")
                raise ValueError(f"seeds: one is not an address of {self.channel}, written as {form}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is given twice")
        return self

    @model_validator(mode="after")
    def _ignores_quiet_hours_for_a_reason(self) -> Self:
        if self.quiet_hours == "ignore" and self.purpose == "marketing":
            raise ValueError("quiet_hours: ignore is for what is no marketing: name its purpose, such as delivery")
        return self

    @model_validator(mode="after")
    def _falls_back(self) -> Self:
        channels = [self.channel, *(step.channel for step in self.fallback)]
        if len(set(channels)) < len(channels):
            raise ValueError(f"fallback: each channel once, not {', '.join(channels)}")
        names = {variant.name for variant in self.variants}
        for step in self.fallback:
            if set(step.templates) != names:
                wanted = ", ".join(sorted(names))
                raise ValueError(f"fallback: templates of {step.channel} must name each variant once: {wanted}")
        return self

    @model_validator(mode="after")
    def _can_be_rolled_out(self) -> Self:
        if self.rollout is None:
            return self
        if len(self.variants) < 2:
            raise ValueError("rollout: needs at least two variants to choose from")
        if self.goal is EventType.OPENED:
            raise ValueError("rollout: opened never decides, because machines open: choose another goal")
        if isinstance(self.rollout, Thompson) and self.rollout.floor * len(self.variants) > 1:
            raise ValueError(f"rollout: floor: {self.rollout.floor} for each of {len(self.variants)} is more than all")
        if self.send_before and self.rollout.lasts >= self.send_before:
            ends, limit = (f"{length.total_seconds() / 3600:g} h" for length in (self.rollout.lasts, self.send_before))
            raise ValueError(
                f"rollout: may end {ends} after the run's time, and send_before is {limit}: who waits would get nothing"
            )
        return self

    @model_validator(mode="after")
    def _can_be_touched(self) -> Self:
        """A touch that no message of the campaign can report would never give credit."""
        if self.conversion is None:
            return self
        touch = self.conversion.touch_of(self.channel)
        if touch in ("clicked", "opened") and Channel.EMAIL not in (self.channel, *(s.channel for s in self.fallback)):
            raise ValueError(f"conversion: touch: {touch} is known of e-mails only: use delivered or sent")
        if touch == "clicked" and self.track_clicks == "none":
            raise ValueError("conversion: touch: clicked needs clicks that are tracked: drop track_clicks: none")
        return self

    @property
    def steps(self) -> tuple[tuple[Channel, dict[str, str]], ...]:
        """(channel, variant -> template) of each step: the campaign's own channel, then the fallbacks."""
        own = {variant.name: variant.template for variant in self.variants}
        return ((self.channel, own), *((step.channel, dict(step.templates)) for step in self.fallback))

    @property
    def design(self) -> ExperimentDesign:
        return self.experiment or ON_ALL

    @property
    def experiment_name(self) -> str:
        """Of the experiment whose assignments its runs share; also the seed of the variants."""
        return self.design.name or self.campaign

    @property
    def control(self) -> str:
        """The variant that the others are compared with: the first."""
        return self.variants[0].name

    @property
    def weights(self) -> dict[str, float]:
        """Each variant's share of those who are sent to; the shares add up to 1."""
        total = sum(variant.weight for variant in self.variants)
        return {variant.name: variant.weight / total for variant in self.variants}


def read_campaign(file: Path) -> Campaign:
    return read_definition(file, Campaign)
