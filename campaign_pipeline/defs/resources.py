"""What assets are given: the installation, opened from the settings of the process that runs them."""

import dagster as dg

from campaign_pipeline.core.settings import load_settings
from campaign_pipeline.operations.installation import Installation


@dg.resource(description="Settings, operational database, lake and clock of this installation.")
def installation(_context: dg.InitResourceContext) -> Installation:
    opened = Installation(load_settings())
    opened.require_schema()
    return opened
