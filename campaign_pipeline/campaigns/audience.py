"""The frozen audience of a run: who is sent to, in which variant, where and when; and who is not, and why.

Reasons not to send come first, so that the variants are compared on contacts who could all be sent to:
address, suppression, consent, frequency caps, one contact an address; then holdouts and variants (see arms.py).
"""

from collections.abc import Iterable, Iterator

import polars as pl

from campaign_pipeline.campaigns.arms import assign
from campaign_pipeline.campaigns.experiments_policy import NO_POLICY, ExperimentsPolicy
from campaign_pipeline.campaigns.quiet_hours import QuietHoursPolicy
from campaign_pipeline.campaigns.send_times import WHERE, Timing, send_times
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.contacts.addresses import ADDRESS_COLUMN
from campaign_pipeline.core.lake import in_slices
from campaign_pipeline.core.words import AudienceStatus, Channel

SCHEMA: dict[str, pl.DataType] = {
    "contact_id": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "variant": pl.String(),
    "address": pl.String(),
    "send_at": pl.Datetime("us", "UTC"),
    "locale": pl.String(),
    "timezone": pl.String(),
    "wanted_at": pl.Datetime("us", "UTC"),  # when it would be sent to without quiet hours
    "window": pl.String(),  # the hours that quiet hours leave: see windows.py; "": any
    "first_run_id": pl.String(),  # the earlier run that gave it this variant in the experiment; null: this one
    "reassigned_from": pl.String(),  # its variant of before, which the campaign has no more; null: none
}
"""The audience's columns; in the lake also `contact`, a struct of the contact's snapshot, for the renderer."""

EARLIER = ("first_run_id", "reassigned_from")
"""Columns that tell of an earlier run of the experiment."""

SLICE = 50_000
"""Contacts whose snapshots are in memory together: they are most of the data."""

NOBODY_CAPPED = pl.DataFrame(schema={"contact_id": pl.String, "cap": pl.String})


def freeze(
    run: Run,
    members: pl.DataFrame,
    snapshot: pl.DataFrame,
    consented: pl.Series,
    suppressed: pl.DataFrame,
    quiet_hours: QuietHoursPolicy | None = None,
    *,
    capped: pl.DataFrame | None = None,
    experiments: ExperimentsPolicy = NO_POLICY,
    known: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The audience of `run`: a row for each of `members` (contact_id), sorted by contact_id.

    `snapshot`: of contact_snapshot, the columns of read_columns.
    `consented`: contact ids with a granted consent for the run's channel and purpose, now.
    `suppressed`: (address, reason) of the channel's suppressed addresses, now.
    `capped`: (contact_id, reason) of those who got as much as the team allows; None: nobody.
    A member without a row in `snapshot` (contact_snapshot) has no address.
    `quiet_hours`: what the team decided about them; without it the known rules hold (see send_times.py).
    `experiments`: the team's policy for them; `known`: who has a variant already, see arms.assign.
    """
    campaign = run.campaign
    facts = (
        members.select("contact_id")
        .unique()
        .join(
            snapshot.select("contact_id", address=ADDRESS_COLUMN[campaign.channel], row=pl.int_range(pl.len())),
            on="contact_id",
            how="left",
        )
        .join(suppressed.select("address", why="reason").unique("address"), on="address", how="left")
        .join(
            NOBODY_CAPPED if capped is None else capped.select("contact_id", cap="reason"), on="contact_id", how="left"
        )
        .sort("contact_id")
    )
    where = snapshot.select(
        pl.col("locale", *(name for name in WHERE if name in snapshot.columns)).gather(facts["row"])
    )
    left_out = (
        pl.when(pl.col("address").is_null())
        .then(pl.lit(AudienceStatus.NO_ADDRESS))
        .when(pl.col("why").is_not_null())
        .then(pl.lit(AudienceStatus.SUPPRESSED))
        .when(~pl.col("contact_id").is_in(consented.implode()))
        .then(pl.lit(AudienceStatus.NO_CONSENT))
        .when(pl.col("cap").is_not_null())
        .then(pl.lit(AudienceStatus.CAPPED))
    )
    facts = facts.with_columns(status=left_out)
    reachable = pl.when(pl.col("status").is_null()).then("address")
    repeated = pl.col("status").is_null() & ~reachable.is_first_distinct()
    facts = facts.with_columns(
        status=pl.when(repeated).then(pl.lit(AudienceStatus.DUPLICATE_ADDRESS)).otherwise("status")
    )
    arms = assign(run, facts.get_column("contact_id"), experiments, known)
    facts = facts.with_columns(arms.select(*EARLIER, "variant", arm="status"))
    reached = pl.col("status").is_null()
    sent_to = reached & (pl.col("arm") == AudienceStatus.PLANNED)
    times = send_times(where, Timing.of(run, quiet_hours or QuietHoursPolicy()))
    return pl.concat([facts, times, where.select("locale", "timezone")], how="horizontal").select(
        "contact_id",
        pl.when(reached).then("arm").otherwise("status").alias("status"),
        pl.when(pl.col("status") == AudienceStatus.SUPPRESSED)
        .then("why")
        .when(pl.col("status") == AudienceStatus.CAPPED)
        .then("cap")
        .otherwise(pl.lit(""))
        .alias("reason"),
        pl.when(sent_to).then("variant").alias("variant"),
        pl.when(sent_to).then("address").alias("address"),
        pl.when(sent_to).then("send_at").alias("send_at"),
        "locale",
        "timezone",
        pl.when(sent_to).then("wanted_at").alias("wanted_at"),
        pl.when(sent_to).then("window").alias("window"),
        *(pl.when(sent_to).then(name).alias(name) for name in EARLIER),
    )


def read_columns(channel: Channel, there: Iterable[str]) -> list[str]:
    """Those columns of a snapshot that the freeze reads; `there`: all that it has."""
    needed = {"contact_id", "locale", ADDRESS_COLUMN[channel], *WHERE}
    return [name for name in there if name in needed]


def with_contacts(frozen: pl.DataFrame, snapshot: pl.LazyFrame) -> pl.LazyFrame:
    """The frozen audience with `contact`, all that the snapshot says of each; made slice by slice as it is read."""
    columns = snapshot.collect_schema()
    prefix = "contact."
    fields = {name: f"{prefix}{name}" for name in columns if name != "contact_id"}
    contact = pl.struct(pl.col(fields.get(name, name)).alias(name) for name in columns)

    def slices() -> Iterator[pl.DataFrame]:
        for part in frozen.iter_slices(SLICE):
            first, last = part["contact_id"][0], part["contact_id"][-1]  # sorted, as the snapshot's row groups are
            own = snapshot.filter(pl.col("contact_id").is_between(pl.lit(first), pl.lit(last))).rename(fields).collect()
            joined = part.join(own, on="contact_id", how="left", maintain_order="left")
            yield joined.select(*frozen.columns, contact=contact)

    return in_slices(slices(), {**frozen.schema, "contact": pl.Struct(columns)})


def counts(audience: pl.DataFrame) -> pl.DataFrame:
    """How many, by (status, reason, variant): columns status, reason, variant, contacts; sorted."""
    return audience.group_by("status", "reason", "variant").agg(contacts=pl.len()).sort("status", "reason", "variant")
