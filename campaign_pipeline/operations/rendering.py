"""Writing the messages of a run: those of its channel, and those of its fallbacks, which stand by."""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from campaign_pipeline.campaigns.gates import Gate
from campaign_pipeline.campaigns.sender_policy import pace_of
from campaign_pipeline.campaigns.sending_policy import SendingPolicy
from campaign_pipeline.campaigns.store import Run, load_run, load_sending_policy
from campaign_pipeline.contacts.addresses import ADDRESS_COLUMN
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.words import AudienceStatus, Channel
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.channels import claimed_together
from campaign_pipeline.messages import verify
from campaign_pipeline.messages.context import contact_fields
from campaign_pipeline.messages.render import Rendered, render_run
from campaign_pipeline.messages.store import StoredTemplate, load_templates
from campaign_pipeline.messages.tracking import AS_WRITTEN, link_rules
from campaign_pipeline.operations.content import gather_context
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reach import consented_for, suppressed_for


def write_messages(installation: Installation, run_id: str) -> tuple[Run, pl.DataFrame, Gate]:
    """Render the run's messages and cut them into batches; once planned, they are final.

    The gate: whether a sample of what was written is what Jinja2 alone makes of it.
    """
    lake = installation.lake
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
        if ledger.is_planned(connection, run_id):
            return run, lake.read("messages", run_id), verify.final()
        templates = load_templates(connection)
        policy = load_sending_policy(connection)
    rendered = _all_steps(installation, run, templates, policy)
    with (
        lake.staged(rendered.skeletons, "skeletons", run_id) as put_skeletons,
        lake.staged(rendered.messages, "messages", run_id) as put_messages,
    ):
        if not ledger.put_unless_planned(installation.engine, run_id, put_skeletons, put_messages):
            return run, lake.read("messages", run_id), verify.final()
    sent = lake.scan("messages", run_id).select("message_id", "fragments")
    sampled = sent.filter(pl.col("message_id").is_in(rendered.sample["message_id"].implode())).collect()
    return run, rendered.messages, verify.verify_sample(rendered.sample, sampled)


def _all_steps(
    installation: Installation, run: Run, templates: Mapping[str, StoredTemplate], policy: SendingPolicy
) -> Rendered:
    """The messages of every step, numbered through."""
    audience = _planned(installation, run, templates)
    found: list[Rendered] = []
    messages = batches = 0
    for step, (channel, names) in enumerate(run.campaign.steps):
        chosen = {variant: templates[name] for variant, name in names.items()}
        reached = _reached_by(installation, run, audience, channel) if step else audience
        rendered = _step(installation, run, reached, chosen, channel, step, policy)
        numbered = rendered.messages.with_columns(
            (pl.col("message_no") + messages).cast(pl.Int32),
            (pl.col("batch_no") + batches).cast(pl.Int32),
            step=pl.lit(step, dtype=pl.Int16),
        )
        found.append(
            replace(
                rendered,
                messages=numbered,
                skeletons=rendered.skeletons.with_columns(step=pl.lit(step, dtype=pl.Int16)),
            )
        )
        messages += numbered.height
        batches += numbered.get_column("batch_no").n_unique()
    if len(found) == 1:
        return found[0]
    return Rendered(
        pl.concat([each.skeletons for each in found]),
        pl.concat([each.messages for each in found]),
        pl.concat([each.sample for each in found]),
    )


def _planned(installation: Installation, run: Run, templates: Mapping[str, StoredTemplate]) -> pl.DataFrame:
    """Those of the audience who are sent to; of each contact the fields only that the run's templates read."""
    used = [templates[name].template for _, names in run.campaign.steps for name in names.values()]
    addresses = {ADDRESS_COLUMN[channel] for channel, _ in run.campaign.steps}
    rows = installation.lake.scan("audience", run.run_id).filter(pl.col("status") == AudienceStatus.PLANNED.value)
    if (read := contact_fields(used)) is not None:
        contact = rows.collect_schema()["contact"]
        there = [field.name for field in contact.fields] if isinstance(contact, pl.Struct) else []
        kept = [name for name in there if name in read | addresses | {"contact_id"}]
        rows = rows.with_columns(contact=pl.struct(pl.col("contact").struct.field(name) for name in kept))
    return rows.collect(engine="streaming")


def _step(
    installation: Installation,
    run: Run,
    audience: pl.DataFrame,
    chosen: Mapping[str, StoredTemplate],
    channel: Channel,
    step: int,
    policy: SendingPolicy,
) -> Rendered:
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
