"""The events of one day, each once, and by whom: a function of received_events and of the rules about machines alone.

So any day can be written anew, in any order, and with other rules.
"""

from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl

from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.paths import SQL_DIR
from campaign_pipeline.events.machines import REACH, MachineRules, machine_rules
from campaign_pipeline.events.normalise import RECEIVED, SCHEMA
from campaign_pipeline.events.received import OF_NO_DAY, files_of, folder_of, has_day

ASSET = "delivery_events"

DELIVERY: dict[str, pl.DataType] = {
    **SCHEMA,
    "machine_reason": pl.String(),  # why `machine` is true; null where it is not
}
"""The columns of delivery_events."""

RULES = "machine_rules"
"""Under this name a day's file says which rules it was built by."""

_MEMORY = "512MB"
"""What sorting a day may take; more goes to the disk."""


def build_day(lake: Lake, day: str, rules: MachineRules | None = None) -> pl.LazyFrame:
    """Write delivery_events/<day> (columns DELIVERY): what occurred on `day` (YYYY-MM-DD, UTC); the partition.

    Of events with one event_id, the one received first is kept. Sorted by occurred_at and event_id. `rules`: those
    that are shipped, unless others are given.
    """
    rules = rules or machine_rules()
    folder = lake.root / ASSET
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=f".{day}.", dir=folder) as scratch,
        duckdb.connect(":memory:", config={"memory_limit": _MEMORY, "temp_directory": scratch}) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        _register(connection, lake, date.fromisoformat(day), rules)
        params = {
            "day": day,
            "reach": REACH,
            "fast_open": rules.too_fast.opened,
            "fast_click": rules.too_fast.clicked,
            "links": rules.all_links.links,
            "within": rules.all_links.within,
        }
        lake.write_by(lambda path: connection.execute(_copy(path, rules), params), ASSET, day)
    return lake.scan(ASSET, day)


def rules_of(lake: Lake, day: str) -> str:
    """Label of the rules that a day was built by; '' where an earlier version built it."""
    return pl.read_parquet_metadata(lake.path(ASSET, day)).get(RULES, "")


def touched_days(events: pl.DataFrame, lake: Lake) -> set[str]:
    """The days to build anew after `events` were written, and the day after where they may change what it holds.

    That is where they are dated by their arrival, so that it may have kept a copy, or so near to midnight that rules
    about machines look back at them.
    """
    dated = events.filter(~folder_of().is_in(OF_NO_DAY))
    occurred_at = pl.col("occurred_at")
    copied = (occurred_at == pl.col("received_at")) & (pl.col("provider") != "own")
    late = occurred_at.dt.offset_by(f"{REACH}s").dt.date() > occurred_at.dt.date()
    looked_at = pl.col("type").is_in(["delivered", "clicked"]) & late
    after = {day + timedelta(days=1) for day in _dates(dated.filter(copied | looked_at))}
    return {str(day) for day in _dates(dated)} | {str(day) for day in after if has_day(lake, day)}


def _dates(events: pl.DataFrame) -> list[date]:
    return events["occurred_at"].dt.date().unique().to_list()


def _register(connection: duckdb.DuckDBPyConnection, lake: Lake, day: date, rules: MachineRules) -> None:
    connection.register("nothing", pl.DataFrame(schema=RECEIVED))
    files = sorted({*files_of(lake, day - timedelta(days=1)), *files_of(lake, day)})
    if files:
        connection.read_parquet([str(file) for file in files], union_by_name=True).create_view("files")
        connection.execute("CREATE VIEW received AS SELECT * FROM files UNION ALL BY NAME SELECT * FROM nothing")
    else:
        connection.execute("CREATE VIEW received AS SELECT * FROM nothing")
    found = connection.sql(
        "SELECT DISTINCT user_agent, network FROM received WHERE type IN ('opened', 'clicked')"
        " AND occurred_at >= $day::DATE AND occurred_at < $day::DATE + INTERVAL 1 DAY",
        params={"day": day},
    ).pl()
    agents = rules.machine_agents(found.get_column("user_agent").drop_nulls().unique())
    networks = rules.machine_networks(found.get_column("network").drop_nulls().unique())
    connection.register("agents", pl.DataFrame({"user_agent": agents}, schema={"user_agent": pl.String}))
    connection.register("networks", pl.DataFrame({"network": networks}, schema={"network": pl.String}))


def _copy(path: Path, rules: MachineRules) -> str:
    return (
        f"COPY ({_query()}) TO {_text(str(path))}"
        f" (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{RULES}: {_text(rules.label)}}})"
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@cache
def _query() -> str:
    return (SQL_DIR / "events" / "delivery_events.sql").read_text(encoding="utf-8")
