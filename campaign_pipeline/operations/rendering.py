"""Writing the messages of a run: those of its channel, and those of its fallbacks, which stand by."""

from collections.abc import Iterator, Mapping

import polars as pl

from campaign_pipeline.campaigns.definition import NOT_IN_TEST
from campaign_pipeline.campaigns.gates import Gate
from campaign_pipeline.campaigns.sender_policy import pace_of
from campaign_pipeline.campaigns.sending_policy import SendingPolicy
from campaign_pipeline.campaigns.store import Run, load_run, load_sending_policy
from campaign_pipeline.contacts.addresses import ADDRESS_COLUMN
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.lake import in_slices
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.words import AudienceStatus, Channel
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.channels import claimed_together
from campaign_pipeline.messages import verify
from campaign_pipeline.messages.batches import Numbering
from campaign_pipeline.messages.context import contact_fields
from campaign_pipeline.messages.render import MESSAGES_SCHEMA, Rendering, render_run
from campaign_pipeline.messages.store import StoredTemplate, load_templates
from campaign_pipeline.messages.tracking import AS_WRITTEN, link_rules
from campaign_pipeline.operations.content import gather_context
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reach import consented_for, suppressed_for
from campaign_pipeline.operations.stage_times import record_stage


def write_messages(installation: Installation, run_id: str) -> tuple[Run, pl.LazyFrame, Gate]:
    """Render the run's messages and cut them into batches; once planned, they are final. They are read from the lake.

    The gate: whether a sample of what was written is what Jinja2 alone makes of it.
    """
    lake, started_at = installation.lake, installation.clock()
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
        if ledger.is_planned(connection, run_id):
            return run, lake.scan("messages", run_id), verify.final()
        templates = load_templates(connection)
        policy = load_sending_policy(connection)
    skeletons: list[pl.DataFrame] = []
    samples: list[pl.DataFrame] = []

    def slices() -> Iterator[pl.DataFrame]:
        for rendering in _steps(installation, run, templates, policy):
            skeletons.append(rendering.skeletons)
            samples.append(rendering.sample)
            yield from rendering.slices

    with (
        lake.staged(in_slices(slices(), MESSAGES_SCHEMA), "messages", run_id) as put_messages,
        lake.staged(pl.concat(skeletons), "skeletons", run_id) as put_skeletons,
    ):
        if not ledger.put_unless_planned(installation.engine, run_id, put_skeletons, put_messages):
            return run, lake.scan("messages", run_id), verify.final()
    sample, written = pl.concat(samples), lake.scan("messages", run_id)
    count = int(written.select(pl.len()).collect().item())
    record_stage(installation, run_id, "messages", started_at, count)
    sampled = written.filter(pl.col("message_id").is_in(sample["message_id"].implode()))
    return run, written, verify.verify_sample(sample, sampled.select("message_id", "fragments").collect())


def _steps(
    installation: Installation, run: Run, templates: Mapping[str, StoredTemplate], policy: SendingPolicy
) -> Iterator[Rendering]:
    """The messages of every step. Of each, all have to be taken before the next is asked for."""
    audience, numbering = _planned(installation, run, templates), Numbering()
    for step, (channel, names) in enumerate(run.campaign.steps):
        chosen = {variant: templates[name] for variant, name in names.items()}
        reached = _reached_by(installation, run, audience, channel) if step else audience
        yield _step(installation, run, reached, chosen, channel, step, policy, numbering)


def _planned(installation: Installation, run: Run, templates: Mapping[str, StoredTemplate]) -> pl.DataFrame:
    """Those of the audience who are sent to; of each contact the fields only that the run's templates read."""
    used = [templates[name].template for _, names in run.campaign.steps for name in names.values()]
    addresses = {ADDRESS_COLUMN[channel] for channel, _ in run.campaign.steps[1:]}
    rows = installation.lake.scan("audience", run.run_id).filter(pl.col("status") == AudienceStatus.PLANNED.value)
    if (read := contact_fields(used)) is not None:
        contact = rows.collect_schema()["contact"]
        there = [field.name for field in contact.fields] if isinstance(contact, pl.Struct) else []
        kept = [name for name in there if name in read | addresses] or ["contact_id"]
        rows = rows.with_columns(contact=pl.struct(pl.col("contact").struct.field(name) for name in kept))
    variant = pl.col("variant").replace(NOT_IN_TEST, run.campaign.control)  # outside of the test, the control's message
    return rows.select("contact_id", "status", variant, "address", "send_at", "locale", "window", "contact").collect()


def _step(
    installation: Installation,
    run: Run,
    audience: pl.DataFrame,
    chosen: Mapping[str, StoredTemplate],
    channel: Channel,
    step: int,
    policy: SendingPolicy,
    numbering: Numbering,
) -> Rendering:
    settings, campaign = installation.settings, run.campaign
    context = gather_context(installation, run, audience, {name: each.template for name, each in chosen.items()})
    return render_run(
        audience,
        chosen,
        context=context,
        run_id=run.run_id,
        campaign=campaign.campaign,
        channel=channel,
        public_url=settings.public_url,
        link_secret=settings.link_secret,
        batch_size=1 if step else claimed_together(channel, settings),  # a fallback is called for one by one
        links=link_rules(campaign) if channel is Channel.EMAIL else AS_WRITTEN,
        workers=settings.render_workers,
        pace=pace_of(policy.sender(channel)),
        step=step,
        numbering=numbering,
        progress=progress_of(f"rendered for {channel}" if step else "rendered"),
    )


def _reached_by(installation: Installation, run: Run, audience: pl.DataFrame, channel: Channel) -> pl.DataFrame:
    """Those who are sent to and could be reached by `channel` too, with their address there; each address once."""
    own = audience.with_columns(address=pl.col("contact").struct.field(ADDRESS_COLUMN[channel]))
    with reading(installation.engine) as connection:
        consented = consented_for(connection, installation, channel, run.campaign.purpose)
        suppressed = suppressed_for(connection, installation, run, own.get_column("address").drop_nulls(), channel)
    return (
        own.filter(pl.col("address").is_not_null() & pl.col("contact_id").is_in(consented.implode()))
        .join(suppressed, on="address", how="anti")
        .sort("contact_id")
        .unique("address", keep="first", maintain_order=True)
    )
