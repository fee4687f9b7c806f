"""Looking at a template before anything is sent."""

import polars as pl

from campaign_pipeline.core.database import reading
from campaign_pipeline.messages.store import load_template
from campaign_pipeline.messages.vectorised.explain import Explained, explain
from campaign_pipeline.operations.installation import Installation


def explain_template(installation: Installation, name: str) -> list[Explained]:
    """How each slot of the newest version of template `name` is rendered, for the contacts' fields as they are."""
    with reading(installation.engine) as connection:
        template = load_template(connection, name).template
    lake = installation.lake
    fields: dict[str, pl.DataType] | None = None
    if lake.exists("contact_snapshot"):
        fields = dict(pl.read_parquet_schema(lake.path("contact_snapshot")))
    return explain(template, fields)
