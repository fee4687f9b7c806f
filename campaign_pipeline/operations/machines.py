"""Machines and humans: which days were classed by other rules, and noting them to be classed anew."""

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import runs
from campaign_pipeline.events.days import ASSET, rules_of
from campaign_pipeline.events.machines import MachineRules, machine_rules
from campaign_pipeline.events.touched import RunDay, note_events
from campaign_pipeline.operations.installation import Installation


def rules_in_force(installation: Installation) -> MachineRules:
    """The team's rules, or those that are shipped."""
    return machine_rules(installation.settings.machine_rules)


def days_of_other_rules(installation: Installation) -> list[str]:
    """The days (YYYY-MM-DD) that were built by other rules than those in force."""
    label = rules_in_force(installation).label
    return [day for day in installation.lake.partitions(ASSET) if rules_of(installation.lake, day) != label]


def reclass(installation: Installation, since: str = "") -> list[str]:
    """Note the days of other rules, from `since` on, as stale, with all that is made of them; which days these are."""
    days = [day for day in days_of_other_rules(installation) if day >= since]
    with reading(installation.engine) as connection:
        known = set(connection.execute(sa.select(runs.c.run_id)).scalars())
    run_days = {RunDay(run_id, day) for day in days for run_id in _runs_of(installation, day) & known}
    with writing(installation.engine) as connection:
        note_events(connection, days, run_days, installation.clock())
    return days


def _runs_of(installation: Installation, day: str) -> set[str]:
    return set(installation.lake.scan(ASSET, day).select(pl.col("run_id").unique()).collect().get_column("run_id"))
