"""What can be exported, and of which runs."""

from pathlib import Path

from campaign_pipeline.analytics.exports import Format, export_table
from campaign_pipeline.analytics.warehouse import VIEWS
from campaign_pipeline.campaigns.store import load_campaign, load_runs
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.operations.installation import Installation


def exportable(installation: Installation) -> list[dict[str, str | int]]:
    """The tables: name, what one can be narrowed to, number of columns, and of partitions that are there."""
    return [
        {
            "table": name,
            "by": "run" if "run_id" in schema else "",
            "columns": len(schema),
            "partitions": len(installation.lake.partitions(name)),
        }
        for name, schema in VIEWS.items()
    ]


def export(installation: Installation, table: str, path: Path, kind: Format, target: str | None) -> int:
    """Write `table` to `path`: of run or campaign `target`, or all of it; the number of rows.

    NotFound when the target is neither a run nor a campaign.
    """
    return export_table(installation.lake, table, path, kind, None if target is None else _runs(installation, target))


def _runs(installation: Installation, target: str) -> list[str]:
    with reading(installation.engine) as connection:
        runs = load_runs(connection)
        if any(run.run_id == target for run in runs):
            return [target]
        try:
            load_campaign(connection, target)
        except NotFound:
            raise NotFound(f"{target!r} is neither a run nor a campaign", "See them with: campaigns status") from None
    return [run.run_id for run in runs if run.campaign.campaign == target]
