"""When the messages of a frozen audience go out, in figures for people."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from campaign_pipeline.campaigns.send_times import Timing
from campaign_pipeline.campaigns.windows import allowed_at
from campaign_pipeline.core.words import AudienceStatus


@dataclass(frozen=True)
class Timetable:
    delayed: int  # planned contacts who are sent to later than without quiet hours
    too_late: int  # planned contacts whose hour comes after the deadline: their messages expire
    hours: pl.DataFrame  # hour (Datetime, UTC), contacts, of them delayed: who is sent to in each hour; sorted

    @classmethod
    def of(cls, audience: pl.DataFrame, timing: Timing) -> "Timetable":
        """`audience`: as audience.freeze gives it."""
        planned = audience.filter(pl.col("status") == AudienceStatus.PLANNED)
        moments = planned.select("send_at", "window").unique()
        late = [_is_too_late(*moment, timing=timing) for moment in moments.iter_rows()]
        moments = moments.with_columns(too_late=pl.Series(late, dtype=pl.Boolean))
        planned = planned.select("send_at", "window", delayed=pl.col("send_at") > pl.col("wanted_at")).join(
            moments, on=["send_at", "window"], how="left"
        )
        sent_to = planned.filter(~pl.col("too_late"))
        hours = (
            sent_to.group_by(hour=pl.col("send_at").dt.truncate("1h"))
            .agg(contacts=pl.len(), delayed=pl.col("delayed").sum())
            .sort("hour")
        )
        return cls(sent_to.filter("delayed").height, planned.height - sent_to.height, hours)


def _is_too_late(send_at: datetime, window: str, timing: Timing) -> bool:
    if timing.deadline and send_at > timing.deadline:
        return True
    return timing.holds and not allowed_at(window, send_at)
