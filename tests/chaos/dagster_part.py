"""The part of the pipeline's definitions that sends: without the sensors that follow events and segments."""

import dagster as dg

from campaign_pipeline.defs import automation
from campaign_pipeline.defs.repository import defs as whole

defs = dg.Definitions(
    assets=whole.assets,
    jobs=[automation.run_campaign],
    sensors=[automation.due_campaigns, automation.failed_campaigns],
    resources=whole.resources,
    executor=whole.executor,
)
