"""Every asset, job, sensor and resource of the pipeline, gathered."""

import dagster as dg

from campaign_pipeline.defs import (
    analytics,
    analytics_automation,
    automation,
    campaigns,
    contacts,
    conversions,
    dispatch,
    events,
    figures,
    memberships,
    messages,
    report_automation,
    reports,
    segment_automation,
    segments,
)
from campaign_pipeline.defs.resources import installation

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(
        [
            contacts,
            segments,
            memberships,
            campaigns,
            messages,
            dispatch,
            events,
            conversions,
            analytics,
            figures,
            reports,
        ],
        include_specs=True,
    ),
    jobs=automation.JOBS,
    sensors=[*automation.SENSORS, *segment_automation.SENSORS, *analytics_automation.SENSORS],
    schedules=[
        *segment_automation.SCHEDULES,
        *analytics_automation.SCHEDULES,
        *report_automation.SCHEDULES,
    ],
    resources={"installation": installation},
    executor=dg.in_process_executor,
)
