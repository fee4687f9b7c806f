"""Conversions of runs: counted from what contacts did, and shared with the other runs that touched them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from campaign_pipeline.analytics.conversions import (
    Counting,
    attribute,
    build_conversions,
    build_pre_period,
    build_touches,
    conversion_events,
    stale_runs,
    starts_of,
)
from campaign_pipeline.campaigns.conversion import SEND_SPREAD
from campaign_pipeline.campaigns.store import Run, load_run, load_runs, load_runs_between
from campaign_pipeline.contacts.behaviour import ASSET
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.events.touched import Kind, RunDay, note_runs, notes
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.message_states import first_day, states_of

LONGEST_WINDOW = timedelta(days=366)


@dataclass(frozen=True)
class Counted:
    """What was written of one run. `stale`: other runs that share conversions with it and have to be counted anew."""

    counts: bool  # whether the campaign counts conversions
    contacts: int = 0
    touches: int = 0
    conversions: int = 0
    without_value: int = 0
    credit: float = 0.0
    stale: tuple[str, ...] = ()


def count_conversions(installation: Installation, run_id: str) -> Counted:
    """Write touches, conversions and pre_period of the run, or nothing where its campaign counts none."""
    lake = installation.lake
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
    if run.campaign.conversion is None:
        return Counted(counts=False)
    counting = Counting(run_id, run.campaign.conversion)
    starts = starts_of(lake, run_id, run.as_of)
    touch = counting.setting.touch_of(run.campaign.channel)
    touches = build_touches(lake, run_id, starts, states_of(installation, run_id), touch, first_day(run))
    lake.write(touches, "touches", run_id)
    lake.write(build_pre_period(lake, counting, starts), "pre_period", run_id)
    events = conversion_events(lake, counting, starts)
    sharing = _sharing(installation, run)
    files = [str(lake.path("touches", each.run_id)) for each in sharing]
    attribution = attribute(events, files, sharing)
    conversions = build_conversions(events, attribution, run_id, run.campaign.campaign, run.campaign.channel.value)
    lake.write(conversions, "conversions", run_id)
    return Counted(
        counts=True,
        contacts=starts.height,
        touches=touches.height,
        conversions=conversions.height,
        without_value=conversions["value"].null_count() if counting.setting.value else 0,
        credit=float(conversions["credit"].sum()),
        stale=tuple(stale_runs(lake, run_id, attribution)),
    )


def _sharing(installation: Installation, run: Run) -> list[Counting]:
    """The runs, this one among them, whose messages may have touched before a conversion that this one counts."""
    setting = run.campaign.conversion
    assert setting is not None
    last = run.as_of + SEND_SPREAD + setting.within
    with reading(installation.engine) as connection:
        near = load_runs_between(connection, run.as_of - SEND_SPREAD - LONGEST_WINDOW, last)
    return [
        Counting(each.run_id, other)
        for each in near
        if (other := each.campaign.conversion) is not None
        and other.event == setting.event
        and run.as_of <= each.as_of + SEND_SPREAD + other.within
        and installation.lake.exists("touches", each.run_id)
    ]


def runs_with_new_behaviour(installation: Installation) -> list[str]:
    """Runs whose conversions were counted before events of their windows were imported, sorted."""
    lake = installation.lake
    imports = {name: lake.path(ASSET, name).stat().st_mtime_ns for name in lake.partitions(ASSET)}
    with reading(installation.engine) as connection:
        counting = [run for run in load_runs(connection) if run.campaign.conversion is not None]
    found: list[str] = []
    for run in counting:
        if lake.exists("conversions", run.run_id):
            counted_at = lake.path("conversions", run.run_id).stat().st_mtime_ns
            newer = [name for name, written_at in imports.items() if written_at > counted_at]
            if any(_concerns(lake, name, run) for name in newer):
                found.append(run.run_id)
    return sorted(found)


def note_new_behaviour(installation: Installation) -> list[str]:
    """Note the runs whose conversions are behind what was imported, unless that was noted before; which these are."""
    noted = {note.key for note in notes(installation.engine) if note.kind is Kind.RUN}
    behind = [run_id for run_id in runs_with_new_behaviour(installation) if run_id not in noted]
    note_for_measuring(installation, behind)
    return behind


def note_for_measuring(installation: Installation, run_ids: Collection[str]) -> None:
    """The runs, and the days for which they were compared, are to be measured anew."""
    run_days = [RunDay(run_id, day) for run_id in run_ids for day in result_days(installation, run_id)]
    with writing(installation.engine) as connection:
        note_runs(connection, sorted(set(run_ids)), run_days, installation.clock())


def result_days(installation: Installation, run_id: str) -> list[str]:
    """The days (YYYY-MM-DD) for which the run was compared: what conversions that come later change."""
    return [name.split("/")[1] for name in installation.lake.partitions("ab_results") if name.startswith(f"{run_id}/")]


def _concerns(lake: Lake, name: str, run: Run) -> bool:
    """Whether the import has such events in the run's windows, or in those before its starts."""
    setting = run.campaign.conversion
    assert setting is not None
    within = pl.col("occurred_at").is_between(run.as_of - setting.within, run.as_of + SEND_SPREAD + setting.within)
    rows = lake.scan(ASSET, name).filter(within, pl.col("event") == setting.event)
    return bool(rows.head(1).collect().height)
