"""Conversions: what contacts did within a campaign's window, shared among the messages that touched them before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from campaign_pipeline.analytics.event_days import event_files
from campaign_pipeline.analytics.models import Source, conform, files_source, lake_source, run_model
from campaign_pipeline.analytics.schemas import DELIVERY_EVENTS, STATES
from campaign_pipeline.analytics.table_schemas import (
    ATTRIBUTION,
    CONVERSION_EVENTS,
    CONVERSIONS,
    PRE_PERIOD,
    STARTS,
    TOUCHES,
)
from campaign_pipeline.campaigns.conversion import Conversion
from campaign_pipeline.contacts.behaviour import ASSET, SCHEMA
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import HELD_OUT, AudienceStatus
from campaign_pipeline.dispatch.batches import BatchFile

COUNTED = (AudienceStatus.PLANNED, *HELD_OUT)
"""Statuses whose contacts' conversions count: those who could be sent to."""

_MICROSECOND = timedelta(microseconds=1)
_SETTINGS = {"run_id": pl.String, "within": pl.Int64, "model": pl.String}
_MESSAGES = {"message_no": pl.Int32, "message_id": pl.String, "contact_id": pl.String}


@dataclass(frozen=True)
class Counting:
    """How one run counts conversions: the setting of its campaign's version."""

    run_id: str
    setting: Conversion

    @property
    def within(self) -> int:
        """Microseconds."""
        return self.setting.within // _MICROSECOND


def starts_of(lake: Lake, run_id: str, as_of: datetime) -> pl.DataFrame:
    """From when each contact's conversions count: STARTS, sorted. Who is held out starts with the run."""
    rows = lake.scan("audience", run_id).filter(pl.col("status").is_in(COUNTED))
    start = pl.coalesce("send_at", pl.lit(as_of))
    starts = rows.select("contact_id", "variant", "status", started_at=start).sort("contact_id").collect()
    return conform(starts, STARTS)


def build_touches(
    lake: Lake, run_id: str, starts: pl.DataFrame, states: pl.DataFrame, touch: str, since: date | None = None
) -> pl.DataFrame:
    """When the run's messages touched (TOUCHES; sql/analytics/touches.sql). `since`: no event of the run is older."""
    rendered = lake.exists("messages", run_id)
    messages = BatchFile(lake, run_id).index([*_MESSAGES]) if rendered else pl.DataFrame(schema=_MESSAGES)
    sources: dict[str, Source] = {
        "starts": starts,
        "messages": messages,
        "states": conform(states, STATES),
        "events": files_source(event_files(lake, run_id, since), DELIVERY_EVENTS),
    }
    return run_model("touches", sources, {"run_id": run_id, "touch": touch}, TOUCHES)


def conversion_events(lake: Lake, counting: Counting, starts: pl.DataFrame) -> pl.DataFrame:
    """What the run's contacts did in their windows: CONVERSION_EVENTS."""
    first, last = _bounds(starts)
    params = _params(counting) | {"first": first, "last": last + counting.setting.within}
    return run_model("conversion_events", _sources(lake, starts), params, CONVERSION_EVENTS)


def build_pre_period(lake: Lake, counting: Counting, starts: pl.DataFrame) -> pl.DataFrame:
    """What the run's contacts did in as long a window before their start: PRE_PERIOD."""
    first, last = _bounds(starts)
    params = _params(counting) | {"run_id": counting.run_id, "first": first - counting.setting.within, "last": last}
    return run_model("pre_period", _sources(lake, starts), params, PRE_PERIOD)


def attribute(events: pl.DataFrame, touches: Sequence[str], runs: Sequence[Counting]) -> pl.DataFrame:
    """The credit of each of `runs` that touched before: ATTRIBUTION. `touches`: files of lake touches of these runs."""
    settings = pl.DataFrame(
        [(each.run_id, each.within, each.setting.model) for each in runs], schema=_SETTINGS, orient="row"
    )
    sources: dict[str, Source] = {
        "conversions": events,
        "touches": files_source(touches, TOUCHES),
        "settings": settings,
    }
    return run_model("attribution", sources, schema=ATTRIBUTION)


def build_conversions(
    events: pl.DataFrame, attribution: pl.DataFrame, run_id: str, campaign: str, channel: str
) -> pl.DataFrame:
    """The run's conversions with its credit: CONVERSIONS."""
    params = {"run_id": run_id, "campaign": campaign, "channel": channel}
    return run_model("conversions", {"counted": events, "attribution": attribution}, params, CONVERSIONS)


def stale_runs(lake: Lake, run_id: str, attribution: pl.DataFrame) -> list[str]:
    """Other runs whose conversions in the lake give them another credit than `attribution` does, sorted."""
    others = attribution.filter(pl.col("run_id") != run_id).partition_by("run_id", as_dict=True)
    return sorted(other for (other,), due in others.items() if _is_stale(lake, str(other), due))


def _is_stale(lake: Lake, run_id: str, due: pl.DataFrame) -> bool:
    if not lake.exists("conversions", run_id):
        return False
    held = lake.scan("conversions", run_id).select("event_id", held="credit", held_touch="last_touch_at")
    both = due.lazy().join(held, on="event_id")
    differs = (pl.col("credit") != pl.col("held")) | pl.col("last_touch_at").ne_missing(pl.col("held_touch"))
    return bool(both.select(differs.any()).collect().item())


def _bounds(starts: pl.DataFrame) -> tuple[datetime, datetime]:
    """The first start, and just after the last; any moment twice where nobody starts."""
    times: Mapping[str, Any] = starts.select(first=pl.col("started_at").min(), last=pl.col("started_at").max()).row(
        0, named=True
    )
    if times["first"] is None:
        moment = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        return moment, moment
    return times["first"], times["last"] + _MICROSECOND


def _params(counting: Counting) -> dict[str, Any]:
    setting = counting.setting
    return {"event": setting.event, "value": setting.value_pointer, "within": counting.within}


def _sources(lake: Lake, starts: pl.DataFrame) -> dict[str, Source]:
    return {"starts": starts, "behaviour": lake_source(lake, ASSET, SCHEMA)}
