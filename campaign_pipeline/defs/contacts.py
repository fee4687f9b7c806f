"""Contacts: the snapshot that segments and audiences are computed from, and what contacts did."""

import dagster as dg
import polars as pl

from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.defs.presentation import Materialised
from campaign_pipeline.operations.installation import Installation

behaviour_history = dg.AssetSpec(
    "behaviour_history",
    group_name="contacts",
    kinds={"parquet"},
    description="What contacts did elsewhere, such as purchases: taken in by `campaigns events import`.",
)


@dg.asset(group_name="contacts", kinds={"polars", "parquet"}, owners=["team:data"])
def contact_snapshot(installation: dg.ResourceParam[Installation]) -> Materialised:
    """All contacts as they are now, one typed column an attribute, with the consent that holds now."""
    snapshot = write_snapshot(installation.engine, installation.lake)
    reachable = {
        f"{channel}_consented": int(snapshot.get_column(f"consent_{channel}").sum())
        for channel in ("email", "sms", "whatsapp")
    }
    return Materialised(
        metadata={
            "dagster/row_count": snapshot.height,
            "with_email": int(snapshot.get_column("email").is_not_null().sum()),
            "with_phone": int(snapshot.get_column("phone").is_not_null().sum()),
            **reachable,
            "columns": dg.MetadataValue.table_schema(_schema(snapshot)),
        }
    )


def _schema(frame: pl.DataFrame) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, str(kind)) for name, kind in frame.schema.items()])
