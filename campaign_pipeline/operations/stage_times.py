"""How long the stages of a run took that no other record tells: written down when they changed something."""

from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.tables import stage_times
from campaign_pipeline.operations.installation import Installation


def record_stage(installation: Installation, run_id: str, stage: str, started_at: datetime, items: int) -> None:
    """Note that `stage` of the run ended now, in the place of an earlier time. `items`: how many went through it."""
    times = {"started_at": started_at, "finished_at": installation.clock(), "items": items}
    this = sa.and_(stage_times.c.run_id == run_id, stage_times.c.stage == stage)
    with writing(installation.engine) as connection:
        connection.execute(sa.delete(stage_times).where(this))
        connection.execute(sa.insert(stage_times).values(run_id=run_id, stage=stage, **times))
