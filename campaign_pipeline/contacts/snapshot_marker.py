"""What a snapshot says of itself: when it was taken, and up to where it has read.

The marker is in the metadata of the snapshot's own Parquet file, which is renamed into place whole: the two cannot
disagree.
"""

from datetime import datetime, timedelta

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake

ASSET = "contact_snapshot"
FORMAT = 3
"""Rises whenever the columns, or what they mean, change: an older snapshot is then read anew as a whole."""

_KEY = "campaign_pipeline.snapshot"


class Marker(BaseModel):
    """`attributes`: the catalogue by which the columns are typed. `incremental`: false if the next must read all."""

    model_config = ConfigDict(frozen=True)

    taken_at: AwareDatetime
    format: int = FORMAT
    incremental: bool = True
    attributes: dict[str, ValueType] = {}
    consents: tuple[int, int] = (0, 0)  # the highest consent_id that was seen, and how many up to it

    def metadata(self) -> dict[str, str]:
        """As the Parquet file keeps it."""
        return {_KEY: self.model_dump_json()}


def read_marker(lake: Lake, asset: str = ASSET, partition: str = "all") -> Marker | None:
    """The marker of the snapshot, or of what was made of it (an audience); None if there is none, or it says none."""
    path = lake.path(asset, partition)
    if not path.exists():
        return None
    try:
        return Marker.model_validate_json(pl.read_parquet_metadata(path).get(_KEY, ""))
    except ValidationError:
        return None


def snapshot_age(lake: Lake, now: datetime) -> timedelta:
    """How long before `now` the contact snapshot was taken. NotFound if there is none."""
    marker = read_marker(lake)
    if marker is None:
        raise NotFound("there is no contact snapshot that says when it was taken", "Materialise contact_snapshot.")
    return now - marker.taken_at
