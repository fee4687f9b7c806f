"""A planned run of synthetic messages, as the stages before dispatch leave it: fast, nothing is rendered."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign, Fallback, Variant
from campaign_pipeline.campaigns.store import apply_campaign
from campaign_pipeline.contacts.bulk import insert_frame
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.tables import consents, runs
from campaign_pipeline.core.words import AudienceStatus, Channel, ConsentState, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.operations.installation import Installation
from tests.chaos.judge import Policy

PARTS = {
    Channel.EMAIL: {"subject": "Hello {}", "html": "<p>Dear {}</p>", "text": "Dear {}"},
    Channel.SMS: {"body": "Hi {}"},
}
ADDRESS = {
    Channel.EMAIL: pl.format("user{}@example.com", "message_no"),
    Channel.SMS: pl.format("+1212{}", pl.col("message_no") + 2_000_000),
}
WRONG = 5
"""One number in so many is wrong, in a run with a fallback."""

SIZE = {Channel.EMAIL: "sendgrid_batch_size", Channel.SMS: "twilio_batch_size"}
"""The setting that says how many messages are claimed together."""


def plan_run(
    installation: Installation,
    channel: Channel,
    messages: int,
    policy: Policy = "never_duplicate",
    *,
    fallback: Channel | None = None,
) -> str:
    """The id of a run with `messages` messages that are due, planned and not sent; its contacts have consented.

    With a `fallback`, each of them has a message of that channel too, which stands by; one number in WRONG is none.
    """
    due = installation.clock() - timedelta(minutes=10)
    run_id = ids.run_id(f"chaos-{channel}", due)
    channels = [channel, *([fallback] if fallback else [])]
    written = _messages(channel, messages, getattr(installation.settings, SIZE[channel]), due)
    if fallback:
        wrong = pl.when(pl.col("message_no") % WRONG == 0).then(pl.format("+1{}", "message_no")).otherwise("address")
        written = pl.concat([written.with_columns(address=wrong), _standing_by(written, fallback, due)])
    lake = installation.lake
    lake.write(pl.concat([_skeletons(each, step) for step, each in enumerate(channels)]), "skeletons", run_id)
    lake.write(written, "messages", run_id)
    first = written.filter(pl.col("step") == 0)
    audience = first.select("contact_id", "address", status=pl.lit(AudienceStatus.PLANNED.value))
    lake.write(audience, "audience", run_id)
    with writing(installation.engine) as connection:
        _record_run(connection, run_id, channels, policy, due)
        for each in channels:
            insert_frame(connection, consents, _consents(first, each, due))
        ledger.record_plan(
            connection,
            run_id,
            messages=written.height,
            batches=written["batch_no"].n_unique(),
            content_hash=BatchFile(lake, run_id).content_hash(),
            at=due,
        )
    return run_id


def _messages(channel: Channel, messages: int, size: int, due: datetime) -> pl.DataFrame:
    slots = sum(text.count("{}") for text in PARTS[channel].values())
    number = pl.col("message_no")
    id_of = number.cast(pl.String).str.zfill(24)
    return pl.select(message_no=pl.int_range(messages, dtype=pl.Int32)).select(
        "message_no",
        batch_no=number // size,
        message_id=id_of,
        contact_id=id_of,
        address=ADDRESS[channel],
        variant=pl.lit("plain"),
        locale=pl.lit("en"),
        send_at=pl.lit(due, pl.Datetime("us", "UTC")),
        fragments=pl.concat_list([pl.format("Ann {}", number)] * slots),
        sms_parts=pl.lit(None if channel is Channel.EMAIL else 1, pl.Int16),
        channel=pl.lit(channel.value),
        step=pl.lit(0, pl.Int16),
    )


def _standing_by(first: pl.DataFrame, channel: Channel, due: datetime) -> pl.DataFrame:
    """A message for each contact of `first` by another channel, each a batch of its own."""
    number = (pl.col("message_no") + first.height).cast(pl.Int32)
    return _messages(channel, first.height, 1, due).with_columns(
        message_no=number,
        batch_no=(pl.col("batch_no") + first["batch_no"].n_unique()).cast(pl.Int32),
        message_id=number.cast(pl.String).str.zfill(24),
        step=pl.lit(1, pl.Int16),
    )


def _skeletons(channel: Channel, step: int) -> pl.DataFrame:
    rows = [
        ("plain", "en", step, "chaos", "0" * 24, part, text.count("{}"), text.split("{}"))
        for part, text in PARTS[channel].items()
    ]
    names = ["variant", "locale", "step", "template", "template_hash", "part", "slots", "constants"]
    return pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"step": pl.Int16})


def _consents(written: pl.DataFrame, channel: Channel, at: datetime) -> pl.DataFrame:
    said = {"channel": channel.value, "purpose": "marketing", "state": ConsentState.GRANTED.value, "source": "chaos"}
    values = {name: pl.lit(value) for name, value in said.items()}
    return written.select("contact_id", **values, evidence=pl.lit("{}"), recorded_at=pl.lit(at))


def _record_run(
    connection: sa.Connection, run_id: str, channels: Sequence[Channel], policy: Policy, at: datetime
) -> None:
    name = ids.parse_run_id(run_id)[0]
    campaign = Campaign(
        campaign=name,
        channel=channels[0],
        segment="all",
        variants=(Variant(name="plain", weight=1, template="chaos"),),
        on_doubt=policy,
        fallback=tuple(Fallback(channel=channel, templates={"plain": "chaos"}) for channel in channels[1:]),
    )
    apply_campaign(connection, campaign, at)
    row = {"run_id": run_id, "campaign": name, "version": 1, "as_of": at, "state": RunState.RUNNING}
    connection.execute(sa.insert(runs).values(**row, requested_by="chaos", created_at=at))
