"""Contacts: the snapshot that segments and audiences are computed from, and what contacts did."""

from time import perf_counter

import dagster as dg
import polars as pl

from campaign_pipeline.core.words import Channel
from campaign_pipeline.defs.presentation import Materialised
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.snapshot import take_snapshot

behaviour_history = dg.AssetSpec(
    "behaviour_history",
    group_name="contacts",
    kinds={"parquet"},
    description="What contacts did elsewhere, such as purchases: taken in by `campaigns events import`.",
)


@dg.asset(group_name="contacts", kinds={"polars", "parquet"}, owners=["team:data"])
def contact_snapshot(installation: dg.ResourceParam[Installation]) -> Materialised:
    """All contacts as they are now: whom we may reach, their lists and tags, one typed column an attribute.

    Only what changed since the last snapshot is read; `why_full` says why everything was, if it was.
    """
    started = perf_counter()
    refreshed = take_snapshot(installation)
    snapshot = refreshed.frame
    sums = [f"{what}_{channel}" for what in ("consent", "reachable") for channel in Channel]
    return Materialised(
        metadata={
            "dagster/row_count": snapshot.height,
            "mode": "full" if refreshed.why_full else "incremental",
            "why_full": refreshed.why_full or "it was not",
            "read": refreshed.read,
            "added": refreshed.added,
            "changed": refreshed.changed,
            "removed": refreshed.removed,
            "seconds": round(perf_counter() - started, 3),
            "values_of_another_type": dg.MetadataValue.json(refreshed.misfits),
            "with_email": snapshot.get_column("email").count(),
            "with_phone": snapshot.get_column("phone").count(),
            **{name: int(snapshot.get_column(name).sum()) for name in sums},
            "columns": dg.MetadataValue.table_schema(_schema(snapshot)),
        }
    )


def _schema(frame: pl.DataFrame) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, str(kind)) for name, kind in frame.schema.items()])
