"""The part of the pipeline's definitions that sends: without the sensors that follow events and segments."""

import dagster as dg

from campaign_pipeline.defs import automation, repository

defs = dg.Definitions(
    assets=repository.defs.assets,
    jobs=[automation.run_campaign],
    sensors=[automation.due_campaigns, automation.failed_campaigns],
    resources=repository.defs.resources,
    executor=repository.defs.executor,
)
