"""One run of a campaign through its stages: what each asset does, as plain functions of the installation."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns import caps, gates
from campaign_pipeline.campaigns.audience import ADDRESS_COLUMN, freeze
from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.life_cycle import ENDED, move_campaign, move_run, run_state
from campaign_pipeline.campaigns.store import Run, campaign_state, load_run, load_sending_policy
from campaign_pipeline.contacts.consent import MARKETING
from campaign_pipeline.contacts.numbering import us_marketing
from campaign_pipeline.contacts.snapshot import read_snapshot
from campaign_pipeline.contacts.snapshot_marker import read_marker
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.progress import progress_of
from campaign_pipeline.core.tables import runs, state_changes
from campaign_pipeline.core.words import Channel, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.messages import verify
from campaign_pipeline.messages.checks.finding import Finding
from campaign_pipeline.messages.context import needs
from campaign_pipeline.messages.preview import example_contact, preview_with_example
from campaign_pipeline.messages.rates import estimate, read_rates
from campaign_pipeline.messages.render import render_run
from campaign_pipeline.messages.store import StoredTemplate, load_templates
from campaign_pipeline.messages.tracking import link_rules, with_utm
from campaign_pipeline.operations.checks import MESSAGES_HINT, check_run, message_gates
from campaign_pipeline.operations.content import gather_context, item_types
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reach import consented_for, suppressed_for
from campaign_pipeline.operations.seeds import write_seeds


def waiting_runs(installation: Installation) -> dict[str, int]:
    """Runs that are to be started, and how often each has changed its state: a new number is a new start."""
    changes = sa.select(sa.func.count()).where(state_changes.c.subject == runs.c.run_id).scalar_subquery()
    query = sa.select(runs.c.run_id, changes).where(runs.c.state == RunState.SCHEDULED).order_by(runs.c.as_of)
    with reading(installation.engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def running_runs(installation: Installation) -> set[str]:
    """Runs that were started, have not ended, and may have something to do now."""
    due = sa.or_(runs.c.next_wave_at.is_(None), runs.c.next_wave_at <= installation.clock())
    query = sa.select(runs.c.run_id).where(runs.c.state == RunState.RUNNING, due)
    with reading(installation.engine) as connection:
        return set(connection.execute(query).scalars())


def freeze_audience(installation: Installation, run_id: str) -> tuple[Run, pl.DataFrame]:
    """Freeze the run's audience; once its messages are planned, the frozen one is final and is returned."""
    lake = installation.lake
    with writing(installation.engine) as connection:
        run = _start(connection, installation, run_id)
        if ledger.is_planned(connection, run_id):
            return run, lake.read("audience", run_id)
        marker = read_marker(lake)  # first: a newer snapshot that slips in is younger than it says, never older
        snapshot = read_snapshot(lake)
        consented = consented_for(connection, installation, run.campaign.channel, run.campaign.purpose)
        addresses = snapshot.get_column(ADDRESS_COLUMN[run.campaign.channel])
        suppressed = suppressed_for(connection, installation, run, addresses)
        if _is_us_marketing(connection, run.campaign):
            suppressed = pl.concat([suppressed, us_marketing(addresses)])
    with reading(installation.engine) as connection:
        applying = caps.applying(load_sending_policy(connection).caps, run.campaign.channel, run.campaign.purpose)
        capped = caps.capped(connection, applying, installation.clock(), but_run=run_id)
    frozen = freeze(run, lake.read("segment_members", run_id), snapshot, consented, suppressed, capped=capped)
    lake.write(frozen, "audience", run_id, metadata=marker.metadata() if marker else None)
    return run, frozen


def _is_us_marketing(connection: sa.Connection, campaign: Campaign) -> bool:
    """Whether numbers of the United States are left out at once: no other channel is there for them."""
    if campaign.channel is not Channel.WHATSAPP or campaign.purpose != MARKETING or campaign.fallback:
        return False
    templates = load_templates(connection)
    return any(templates[variant.template].template.is_approved for variant in campaign.variants)


def check_audience(
    installation: Installation, run: Run, audience: pl.DataFrame, *, final: bool = False
) -> list[gates.Gate]:
    """The gates of the run's audience, against consent and suppression as they are now; `final`: see gates.py."""
    with reading(installation.engine) as connection:
        planned = ledger.is_planned(connection, run.run_id)
        consented = consented_for(connection, installation, run.campaign.channel, run.campaign.purpose)
        suppressed = suppressed_for(connection, installation, run, audience.get_column("address"))
    now = installation.clock()
    marker = read_marker(installation.lake, "audience", run.run_id)
    fresh = gates.snapshot_gate(run, now - marker.taken_at if marker else None, planned=planned)
    return [*gates.audience_gates(run, audience, consented, suppressed, now, final=final or planned), fresh]


def write_messages(installation: Installation, run_id: str) -> tuple[Run, pl.DataFrame, gates.Gate]:
    """Render the run's messages and cut them into batches; once planned, they are final.

    The gate: whether a sample of what was written is what Jinja2 alone makes of it.
    """
    lake, settings = installation.lake, installation.settings
    with reading(installation.engine) as connection:
        run = load_run(connection, run_id)
        if ledger.is_planned(connection, run_id):
            return run, lake.read("messages", run_id), verify.final()
        templates = load_templates(connection)
    campaign = run.campaign
    size = settings.sendgrid_batch_size if campaign.channel == Channel.EMAIL else settings.twilio_batch_size
    audience = lake.read("audience", run_id)
    chosen = {variant.name: templates[variant.template] for variant in campaign.variants}
    context = gather_context(installation, run, audience, {name: each.template for name, each in chosen.items()})
    rendered = render_run(
        audience,
        chosen,
        context=context,
        run_id=run_id,
        campaign=campaign.campaign,
        channel=campaign.channel,
        public_url=settings.public_url,
        link_secret=settings.link_secret,
        batch_size=size,
        links=link_rules(campaign),
        workers=settings.render_workers,
        progress=progress_of("rendered"),
    )
    lake.write(rendered.skeletons, "skeletons", run_id)
    written = lake.write(rendered.messages, "messages", run_id)
    sent = pl.scan_parquet(written, glob=False).select("message_id", "fragments")
    sampled = sent.filter(pl.col("message_id").is_in(rendered.sample["message_id"].implode())).collect()
    return run, rendered.messages, verify.verify_sample(rendered.sample, sampled)


def check_written(
    installation: Installation, run: Run, messages: pl.DataFrame
) -> tuple[list[Finding], list[gates.Gate]]:
    """What is wrong with the run's messages, and the gates of that."""
    findings = check_run(installation, run, messages)
    with reading(installation.engine) as connection:
        return findings, message_gates(findings, final=ledger.is_planned(connection, run.run_id))


def estimated_costs(installation: Installation, run: Run, messages: pl.DataFrame) -> pl.DataFrame | None:
    """What the messages cost by the team's own rates (see messages/rates.py); None without rates for the channel."""
    file = installation.settings.sms_rates
    rates = read_rates(Path(file)) if file else None
    of_channel = rates.of(run.campaign.channel) if rates else {}
    if rates is None or not of_channel:
        return None
    return estimate(messages, of_channel).with_columns(currency=pl.lit(rates.currency))


def preview_messages(installation: Installation, run: Run) -> dict[str, dict[str, str]]:
    """What a made-up contact would get: variant -> part -> text. No personal data.

    With the parameters of web links, but not through our redirect: whoever looks at it may follow them.
    """
    with reading(installation.engine) as connection:
        templates = load_templates(connection)
    chosen = {
        variant.name: _as_sent(run.campaign, variant.name, templates[variant.template])
        for variant in run.campaign.variants
    }
    example = example_contact(read_snapshot(installation.lake).schema)
    return preview_with_example(
        chosen,
        example,
        campaign=run.campaign.campaign,
        public_url=installation.settings.public_url,
        items=item_types(installation.lake, needs(each.template for each in chosen.values())),
    )


def _as_sent(campaign: Campaign, variant: str, stored: StoredTemplate) -> StoredTemplate:
    rules = link_rules(campaign)
    return replace(stored, template=with_utm(stored.template, rules, campaign.channel, campaign.campaign, variant))


def plan_dispatch(installation: Installation, run_id: str) -> Run:
    """Verify the gates again, and write the plan into the ledger: from here on nothing of the run changes."""
    lake = installation.lake
    messages = lake.read("messages", run_id)
    content = BatchFile(lake, run_id).content_hash()
    with writing(installation.engine) as connection:
        run = _start(connection, installation, run_id)
        planned = ledger.is_planned(connection, run_id)
    gates.require(check_audience(installation, run, lake.read("audience", run_id), final=True))
    if not planned:  # what was planned never changes, whatever is thought of it later
        gates.require(message_gates(check_run(installation, run, messages)), MESSAGES_HINT)
    seeds = None if planned else write_seeds(installation, run)
    with writing(installation.engine) as connection:
        ledger.record_plan(
            connection,
            run_id,
            messages=messages.height,
            batches=messages.get_column("batch_no").n_unique(),
            content_hash=content,
            at=installation.clock(),
        )
        if seeds is not None:
            seeds.record(connection, installation.clock())
    return run


def mark_failed(installation: Installation, run_id: str, reason: str) -> None:
    """The run's process failed or died: say so, unless the run had ended."""
    with writing(installation.engine) as connection:
        if run_state(connection, run_id) in (RunState.RUNNING, RunState.SCHEDULED):
            now = installation.clock()
            move_run(connection, run_id, RunState.FAILED, actor="dagster", at=now, reason=reason[:500])
            campaign = load_run(connection, run_id).campaign.campaign
            move_campaign(connection, campaign, RunState.FAILED, actor="dagster", at=now, reason=reason[:500])


def _start(connection: sa.Connection, installation: Installation, run_id: str) -> Run:
    run = load_run(connection, run_id)
    campaign = run.campaign.campaign
    if run.state in (RunState.RUNNING, *ENDED):
        return run
    if RunState.PAUSED in (run.state, campaign_state(connection, campaign)):  # a failed run is not paused itself
        raise Refused(f"{run_id} is paused", f"Resume it first: campaigns resume {campaign}")
    now = installation.clock()
    move_run(connection, run_id, RunState.RUNNING, actor="dagster", at=now)
    move_campaign(connection, campaign, RunState.RUNNING, actor="dagster", at=now)
    return run
