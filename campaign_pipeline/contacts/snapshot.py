"""The contact snapshot: contacts, whom consent and suppression let us reach, their lists, tags and attributes, in one
Parquet file, which segments read."""

from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.consent import current_consent
from campaign_pipeline.contacts.snapshot_read import FIELDS, declared_types, grouped, read_rows
from campaign_pipeline.contacts.suppression import active_suppressions
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import contact_tags, list_members
from campaign_pipeline.core.words import Channel, ConsentState

ASSET = "contact_snapshot"
ADDRESS = {Channel.EMAIL: "email", Channel.SMS: "phone", Channel.WHATSAPP: "phone"}
DERIVED: dict[str, pl.DataType] = {
    **{f"consent_{channel}": pl.Boolean() for channel in Channel},
    **{f"reachable_{channel}": pl.Boolean() for channel in Channel},
    "lists": pl.List(pl.String()),
    "tags": pl.List(pl.String()),
}
"""The columns between FIELDS and the attributes."""


def write_snapshot(engine: sa.Engine, lake: Lake, now: datetime | None = None) -> pl.DataFrame:
    """Write the contacts of now as `contact_snapshot`, sorted by contact_id, and return them.

    Columns: FIELDS; DERIVED: consent_<channel> (the newest marketing consent is granted), reachable_<channel> (that,
    and a valid address that is not suppressed), lists and tags (sorted, never null); then, sorted by name, one column
    an attribute, as its declared type says, or as its values say (see snapshot_attributes).
    """
    now = now or utc_now()
    with reading(engine) as connection:
        rows = read_rows(connection, declared_types(connection), frozenset({*FIELDS, *DERIVED}))
        snapshot = rows.frame.drop("updated_at").sort("contact_id")
        for channel in Channel:
            granted = current_consent(connection, channel).filter(pl.col("state") == ConsentState.GRANTED.value)
            has = pl.col("contact_id").is_in(granted["contact_id"].implode())
            snapshot = snapshot.with_columns(has.alias(f"consent_{channel}"))
        snapshot = snapshot.with_columns(_reachable(connection, channel, now) for channel in Channel)
        for name, members in (
            ("lists", grouped(connection, list_members.c.list)),
            ("tags", grouped(connection, contact_tags.c.tag)),
        ):
            snapshot = snapshot.join(
                members.rename({"names": name}), on="contact_id", how="left", maintain_order="left"
            )
            snapshot = snapshot.with_columns(pl.col(name).fill_null([]))
    attributes = sorted(set(snapshot.columns) - {*FIELDS, *DERIVED})
    snapshot = snapshot.select(*FIELDS, *DERIVED, *attributes)
    lake.write(snapshot, ASSET)
    return snapshot


def read_snapshot(lake: Lake) -> pl.DataFrame:
    """The newest snapshot; NotFound if there is none."""
    return lake.read(ASSET)


def _reachable(connection: sa.Connection, channel: Channel, _now: datetime) -> pl.Expr:
    suppressed = active_suppressions(connection, channel)["address"]
    address = pl.col(ADDRESS[channel])
    may = pl.col(f"consent_{channel}") & address.is_not_null() & ~address.is_in(suppressed.implode())
    return may.fill_null(value=False).alias(f"reachable_{channel}")
