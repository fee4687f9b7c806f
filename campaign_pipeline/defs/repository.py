"""Every asset, job, sensor and resource of the pipeline, gathered."""

import dagster as dg

from campaign_pipeline.defs import analytics, automation, campaigns, contacts, dispatch, events, messages, segments
from campaign_pipeline.defs.resources import installation

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(
        [contacts, segments, campaigns, messages, dispatch, events, analytics], include_specs=True
    ),
    jobs=automation.JOBS,
    sensors=automation.SENSORS,
    resources={"installation": installation},
    executor=dg.in_process_executor,
)
