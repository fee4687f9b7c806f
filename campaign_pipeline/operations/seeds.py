"""Seeds: addresses of the team, which get a copy of each variant and language of a run, to see how it arrives.

They are a small run of their own: rendered, planned, claimed and recorded in the ledger by the code that does so for
contacts, so that a copy is sent once however often the run is repeated or killed. Its run id is one that no campaign
can have (core/ids.trial_run_id), and its messages are in a lake of their own: no account, fact or metric comes upon
them, and their events are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.contacts.suppression import active_suppressions
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.ids import message_id, trial_run_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import AudienceStatus, RunState
from campaign_pipeline.dispatch import ledger, worker
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Channel
from campaign_pipeline.dispatch.guards.base import Guard
from campaign_pipeline.dispatch.guards.suppressed import NotSuppressed
from campaign_pipeline.messages.render import render_run
from campaign_pipeline.messages.store import StoredTemplate, load_templates
from campaign_pipeline.messages.tracking import link_rules
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.trials import example_records


def seed_lake(installation: Installation) -> Lake:
    """Where the messages of seeds are."""
    return Lake(installation.settings.data_dir / "seeds")


def seeds_id(run: Run) -> str:
    return trial_run_id(run.campaign.campaign, run.as_of)


@dataclass(frozen=True)
class SeedPlan:
    run_id: str
    messages: int
    batches: int
    content_hash: str

    def record(self, connection: sa.Connection, at: datetime) -> None:
        ledger.record_plan(
            connection,
            self.run_id,
            messages=self.messages,
            batches=self.batches,
            content_hash=self.content_hash,
            at=at,
        )


def write_seeds(installation: Installation, run: Run) -> SeedPlan | None:
    """Render a copy of each variant and language for each seed address, for a made-up contact; None without seeds.

    The plan is recorded with that of the run, so that both are planned or neither. InvalidInput if one is not rendered.
    """
    campaign, settings = run.campaign, installation.settings
    if not campaign.seeds:
        return None
    with reading(installation.engine) as connection:
        templates = load_templates(connection)
    chosen = {each.name: templates[each.template] for each in campaign.variants if each.name in run.weights}
    copies = _copies(run, chosen)
    records = example_records(installation, [stored.template for stored in chosen.values()])
    made_up = {
        name: pl.Series(name, [dict(fields)]).new_from_index(0, copies.height)
        for name, fields in records.items()
        if fields
    }
    rendered = render_run(
        copies.with_columns(made_up.pop("contact")),
        chosen,
        context=copies.select("contact_id", *made_up.values()) if made_up else None,
        run_id=seeds_id(run),
        campaign=campaign.campaign,
        channel=campaign.channel,
        public_url=settings.public_url,
        link_secret=settings.link_secret,
        batch_size=len(campaign.seeds),
        links=link_rules(campaign),
        workers=1,
    ).whole()
    lake = seed_lake(installation)
    lake.write(rendered.skeletons, "skeletons", seeds_id(run))
    lake.write(rendered.messages, "messages", seeds_id(run))
    return SeedPlan(
        seeds_id(run),
        rendered.messages.height,
        rendered.messages["batch_no"].n_unique(),
        BatchFile(lake, seeds_id(run)).content_hash(),
    )


def send_seeds(
    installation: Installation,
    run: Run,
    channel: Channel,
    *,
    worker_name: str,
    guards: Sequence[Guard],
    stopped: Callable[[], RunState | None],
) -> worker.Sent | None:
    """Send what of the run's seeds is planned and not sent yet. Raises Halted as sending the run would.

    `guards`: of the channel's sender.
    """
    with reading(installation.engine) as connection:
        if not ledger.is_planned(connection, seeds_id(run)):
            return None

    def suppressed() -> set[str]:
        with reading(installation.engine) as connection:
            return set(active_suppressions(connection, run.campaign.channel)["address"])

    return worker.send_due(
        installation.engine,
        seed_lake(installation),
        seeds_id(run),
        channel,
        worker=worker_name,
        clock=installation.clock,
        deadline=run.deadline,
        guards=[NotSuppressed(installation.engine, run.campaign.channel, suppressed), *guards],
        stopped=stopped,
    )


def _copies(run: Run, templates: dict[str, StoredTemplate]) -> pl.DataFrame:
    """The audience of seeds, a row a copy, without contact."""
    rows = [
        (message_id(seeds_id(run), f"{variant}:{locale}:{address}", "seed"), variant, locale, address)
        for variant, stored in templates.items()
        for locale in stored.template.languages
        for address in run.campaign.seeds
    ]
    frame = pl.DataFrame(rows, schema=("contact_id", "variant", "locale", "address"), orient="row")
    return frame.with_columns(
        status=pl.lit(AudienceStatus.PLANNED.value), send_at=pl.lit(run.as_of, dtype=pl.Datetime("us", "UTC"))
    )
