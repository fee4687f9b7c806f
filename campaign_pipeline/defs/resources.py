"""What assets are given: the installation, opened from the settings of the process that runs them."""

from collections.abc import Generator

import dagster as dg

from campaign_pipeline.core.settings import load_settings
from campaign_pipeline.operations.installation import Installation


def open_installation() -> Installation:
    """The installation that this process's settings describe; Refused unless its database is up to date."""
    opened = Installation(load_settings())
    opened.require_schema()
    return opened


@dg.resource(description="Settings, operational database, lake and clock of this installation.")
def installation(_context: dg.InitResourceContext) -> Generator[Installation]:
    opened = open_installation()
    try:
        yield opened
    finally:
        opened.engine.dispose()  # a database server would keep its connections until this process ends
