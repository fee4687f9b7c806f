"""Where every campaign and run is."""

from collections.abc import Collection
from datetime import timedelta

import polars as pl

from campaign_pipeline.campaigns.store import campaign_state, load_campaigns, load_runs
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.words import RunState
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.senders import held_back


def campaigns_overview(installation: Installation) -> pl.DataFrame:
    """campaign, channel, state, segment, variants, runs, last_run (its as_of): one row a campaign."""
    with reading(installation.engine) as connection:
        rows = [
            {
                "campaign": name,
                "channel": campaign.channel.value,
                "state": campaign_state(connection, name).value,
                "segment": campaign.segment,
                "variants": len(campaign.variants),
                "runs": len(runs := load_runs(connection, name)),
                "last_run": runs[0].as_of if runs else None,
            }
            for name, campaign in load_campaigns(connection).items()
        ]
    schema = {
        "campaign": pl.String,
        "channel": pl.String,
        "state": pl.String,
        "segment": pl.String,
        "variants": pl.Int64,
        "runs": pl.Int64,
        "last_run": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame(rows, schema=schema)


def runs_overview(
    installation: Installation, campaign: str, *, only: Collection[str] | None = None
) -> list[dict[str, object]]:
    """Each run of the campaign, newest first: run, state, reason; once it is planned, its account and its throughput.

    `only`: these runs. The reason of a run that waits is what holds its sender back. Throughput: the fields of
    rate.Throughput; `errors` is a list of dicts, with the fields of error_classes.ErrorClass. With sent_again and
    arrived_twice (RunAccount), if messages in doubt were sent once more.
    """
    with reading(installation.engine) as connection:
        if campaign not in load_campaigns(connection):
            raise NotFound(f"campaign {campaign!r} does not exist", "See what there is with: campaigns status")
        runs = load_runs(connection, campaign)
    overview: list[dict[str, object]] = []
    for run in runs:
        if only is not None and run.run_id not in only:
            continue
        row: dict[str, object] = {"run": run.run_id, "state": run.state.value, "reason": run.reason}
        if installation.lake.exists("messages", run.run_id):
            settling = timedelta(seconds=installation.settings.settling_seconds)
            found = account(installation.engine, installation.lake, run.run_id, installation.clock(), settling)
            waits = run.state == RunState.RUNNING and found.pending
            held = held_back(installation, run.campaign) if waits else None
            if held:
                row["reason"] = held.why
            if found.sent_again:
                row |= {"sent_again": found.sent_again, "arrived_twice": found.arrived_twice}
            row |= found.counts() | (found.throughput.as_row() if found.throughput else {})
            if held:
                row["estimated_end"] = None  # whatever the last minute's rate was
        overview.append(row)
    return overview
