"""One message as it was sent, put together again from the skeleton and its fragments in the lake."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from campaign_pipeline.core.ids import parse_run_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.messages.skeletons import assemble


@dataclass(frozen=True)
class SentMessage:
    """`parts`: each part's whole text, as the provider put it together."""

    run_id: str
    message_id: str
    message_no: int
    batch_no: int
    contact_id: str
    address: str
    variant: str
    send_at: datetime
    parts: Mapping[str, str]


def read_message(lake: Lake, run_id: str, message_id: str) -> SentMessage | None:
    """None if the run has no such message, or was not rendered here, or the contact was erased."""
    path = lake.path("messages", run_id)
    if not path.exists():
        return None
    # Only the column that is compared is read whole.
    row = pl.scan_parquet(path, glob=False).filter(pl.col("message_id") == message_id).collect()
    if row.is_empty():
        return None
    (parts,) = (parts for _, parts in assemble(lake.read("skeletons", run_id), row))
    found = row.row(0, named=True)
    return SentMessage(
        run_id=run_id,
        message_id=message_id,
        message_no=found["message_no"],
        batch_no=found["batch_no"],
        contact_id=found["contact_id"],
        address=found["address"],
        variant=found["variant"],
        send_at=found["send_at"],
        parts=parts,
    )


def find_run(lake: Lake, message_id: str) -> str | None:
    """The run of a message: one run after the other is asked, the newest first, and of each one column is read."""
    for run_id in sorted(
        lake.partitions("messages"), key=lambda run_id: (parse_run_id(run_id)[1], run_id), reverse=True
    ):
        ids = pl.scan_parquet(lake.path("messages", run_id), glob=False).select("message_id")
        if not ids.filter(pl.col("message_id") == message_id).collect().is_empty():
            return run_id
    return None
