"""One run of a campaign through its stages: what each asset does, as plain functions of the installation."""

import hashlib
from dataclasses import replace
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns import caps, gates
from campaign_pipeline.campaigns.audience import freeze, read_columns, with_contacts
from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.life_cycle import ENDED, move_campaign, move_run, run_state
from campaign_pipeline.campaigns.send_times import Timing
from campaign_pipeline.campaigns.store import (
    Run,
    campaign_state,
    load_experiments_policy,
    load_run,
    load_sending_policy,
)
from campaign_pipeline.campaigns.timetable import Timetable
from campaign_pipeline.contacts.addresses import ADDRESS_COLUMN
from campaign_pipeline.contacts.consent import MARKETING
from campaign_pipeline.contacts.numbering import us_marketing
from campaign_pipeline.contacts.snapshot import ASSET, read_snapshot
from campaign_pipeline.contacts.snapshot_marker import read_marker
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import runs, state_changes
from campaign_pipeline.core.words import AudienceStatus, Channel, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.messages.checks.finding import Finding
from campaign_pipeline.messages.context import needs
from campaign_pipeline.messages.preview import example_contact, preview_with_example
from campaign_pipeline.messages.rates import estimate, read_rates
from campaign_pipeline.messages.store import StoredTemplate, load_templates
from campaign_pipeline.messages.tracking import link_rules, with_utm
from campaign_pipeline.operations.assignments import first_assignments, staged_assignments
from campaign_pipeline.operations.checks import MESSAGES_HINT, check_run, message_gates
from campaign_pipeline.operations.content import item_types
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.reach import consented_for, suppressed_for
from campaign_pipeline.operations.seeds import write_seeds
from campaign_pipeline.operations.stage_times import record_stage

ANEW = "Another materialisation of the run is under way. Materialise messages and dispatch again."


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
    """Freeze the run's audience; once its messages are planned, the frozen one is final and is returned.

    Columns: audience.SCHEMA. In the lake, each row also holds all of the contact's snapshot.
    """
    lake, started_at = installation.lake, installation.clock()
    with writing(installation.engine) as connection:
        run = _start(connection, installation, run_id)
        if ledger.is_planned(connection, run_id):
            return run, _frozen(lake, run_id)
    marker = read_marker(lake)  # first: a newer snapshot that slips in is younger than it says, never older
    with first_assignments(installation, run) as known, lake.held(ASSET) as contacts:
        frozen = _freeze(installation, run, contacts, known)
        whole = with_contacts(frozen, contacts)
        with (
            staged_assignments(installation, run, known, frozen) as put_assignments,
            lake.staged(whole, "audience", run_id, metadata=marker.metadata() if marker else None) as put,
        ):
            # The assignments first: after a crash in between, the run is frozen anew and finds its own.
            if not ledger.put_unless_planned(installation.engine, run_id, *put_assignments, put):
                return run, _frozen(lake, run_id)
    record_stage(installation, run_id, "audience", started_at, frozen.height)
    return run, frozen


def _frozen(lake: Lake, run_id: str) -> pl.DataFrame:
    return lake.scan("audience", run_id).select(pl.exclude("contact")).collect()


def _freeze(installation: Installation, run: Run, contacts: pl.LazyFrame, known: pl.DataFrame | None) -> pl.DataFrame:
    """Who of the segment is sent to, by what is known now; `known`: who has a variant of the experiment already."""
    snapshot = contacts.select(read_columns(run.campaign.channel, contacts.collect_schema())).collect()
    with reading(installation.engine) as connection:
        consented = consented_for(connection, installation, run.campaign.channel, run.campaign.purpose)
        addresses = snapshot.get_column(ADDRESS_COLUMN[run.campaign.channel])
        suppressed = suppressed_for(connection, installation, run, addresses)
        policy, experiments = load_sending_policy(connection), load_experiments_policy(connection)
        if _is_us_marketing(connection, run.campaign):
            suppressed = pl.concat([suppressed, us_marketing(addresses)])
        applying = caps.applying(policy.caps, run.campaign.channel, run.campaign.purpose)
        capped = caps.capped(connection, applying, installation.clock(), but_run=run.run_id)
    members = installation.lake.read("segment_members", run.run_id)
    return freeze(
        run,
        members,
        snapshot,
        consented,
        suppressed,
        policy.quiet_hours,
        capped=capped,
        experiments=experiments,
        known=known,
    )


def timetable(installation: Installation, run: Run, audience: pl.DataFrame) -> Timetable:
    """When the run's messages go out, by its frozen audience."""
    with reading(installation.engine) as connection:
        policy = load_sending_policy(connection)
    return Timetable.of(audience, Timing.of(run, policy.quiet_hours))


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


def check_written(
    installation: Installation, run: Run, messages: pl.LazyFrame
) -> tuple[list[Finding], list[gates.Gate]]:
    """What is wrong with the run's messages, and the gates of that."""
    findings = check_run(installation, run, messages)
    with reading(installation.engine) as connection:
        return findings, message_gates(findings, final=ledger.is_planned(connection, run.run_id))


def estimated_costs(installation: Installation, run: Run, messages: pl.LazyFrame) -> pl.DataFrame | None:
    """What the messages cost by the team's own rates (see messages/rates.py); None without rates for the channel."""
    file = installation.settings.sms_rates
    rates = read_rates(Path(file)) if file else None
    of_channel = rates.of(run.campaign.channel) if rates else {}
    if rates is None or not of_channel:
        return None
    return estimate(messages.select("address", "sms_parts").collect(), of_channel).with_columns(
        currency=pl.lit(rates.currency)
    )


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
    """Verify the gates again, and write the plan into the ledger: from here on nothing of the run changes.

    Refused where another materialisation of the run has frozen or rendered it anew meanwhile.
    """
    lake = installation.lake
    file = BatchFile(lake, run_id)
    looked_at = _contents(lake, run_id)
    index = file.index(["batch_no", "contact_id", "step"])
    with writing(installation.engine) as connection:
        run = _start(connection, installation, run_id)
        planned = ledger.is_planned(connection, run_id)
    audience = lake.scan("audience", run_id).select(gates.COLUMNS).collect()
    gates.require(check_audience(installation, run, audience, final=True))
    if not planned:  # what was planned never changes, whatever is thought of it later
        _require_messages_of(run_id, audience, index)
        gates.require(message_gates(check_run(installation, run, lake.scan("messages", run_id))), MESSAGES_HINT)
    seeds = None if planned else write_seeds(installation, run)
    with writing(installation.engine) as connection:
        ledger.hold_run(connection, run_id)
        if not planned and _contents(lake, run_id) != looked_at:
            raise Refused(f"the messages of {run_id} were written anew while they were looked at", ANEW)
        ledger.record_plan(
            connection,
            run_id,
            messages=index.height,
            batches=index["batch_no"].n_unique(),
            content_hash=looked_at[0],
            at=installation.clock(),
        )
        if seeds is not None:
            seeds.record(connection, installation.clock())
    return run


def _contents(lake: Lake, run_id: str) -> tuple[str, str]:
    """What the run is planned from: hashes of its messages and of its audience."""
    with lake.path("audience", run_id).open("rb") as file:
        return BatchFile(lake, run_id).content_hash(), hashlib.file_digest(file, "sha256").hexdigest()


def _require_messages_of(run_id: str, audience: pl.DataFrame, index: pl.DataFrame) -> None:
    planned = audience.filter(pl.col("status") == AudienceStatus.PLANNED.value).get_column("contact_id").sort()
    if not index.filter(pl.col("step") == 0).get_column("contact_id").sort().equals(planned):
        raise Refused(f"the messages of {run_id} are not those of its audience, which was frozen anew", ANEW)


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
