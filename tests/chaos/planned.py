"""A planned run of synthetic messages, as the stages before dispatch leave it: fast, nothing is rendered."""

from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign, Variant
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
SIZE = {Channel.EMAIL: "sendgrid_batch_size", Channel.SMS: "twilio_batch_size"}
"""The setting that says how many messages are claimed together."""


def plan_run(installation: Installation, channel: Channel, messages: int, policy: Policy = "never_duplicate") -> str:
    """The id of a run with `messages` messages that are due, planned and not sent; its contacts have consented."""
    due = installation.clock() - timedelta(minutes=10)
    run_id = ids.run_id(f"chaos-{channel}", due)
    size = getattr(installation.settings, SIZE[channel])
    written = _messages(channel, messages, size, due)
    lake = installation.lake
    lake.write(_skeletons(channel), "skeletons", run_id)
    lake.write(written, "messages", run_id)
    audience = written.select("contact_id", "address", status=pl.lit(AudienceStatus.PLANNED.value))
    lake.write(audience, "audience", run_id)
    with writing(installation.engine) as connection:
        _record_run(connection, run_id, channel, policy, due)
        insert_frame(connection, consents, _consents(written, channel, due))
        ledger.record_plan(
            connection,
            run_id,
            messages=messages,
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
    )


def _skeletons(channel: Channel) -> pl.DataFrame:
    rows = [
        ("plain", "en", "chaos", "0" * 24, part, text.count("{}"), text.split("{}"))
        for part, text in PARTS[channel].items()
    ]
    names = ["variant", "locale", "template", "template_hash", "part", "slots", "constants"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _consents(written: pl.DataFrame, channel: Channel, at: datetime) -> pl.DataFrame:
    said = {"channel": channel.value, "purpose": "marketing", "state": ConsentState.GRANTED.value, "source": "chaos"}
    values = {name: pl.lit(value) for name, value in said.items()}
    return written.select("contact_id", **values, evidence=pl.lit("{}"), recorded_at=pl.lit(at))


def _record_run(connection: sa.Connection, run_id: str, channel: Channel, policy: Policy, at: datetime) -> None:
    variants = (Variant(name="plain", weight=1, template="chaos"),)
    name = ids.parse_run_id(run_id)[0]
    campaign = Campaign(campaign=name, channel=channel, segment="all", variants=variants, on_doubt=policy)
    apply_campaign(connection, campaign, at)
    row = {"run_id": run_id, "campaign": name, "version": 1, "as_of": at, "state": RunState.RUNNING}
    connection.execute(sa.insert(runs).values(**row, requested_by="chaos", created_at=at))
