"""Template versions."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import Json, Utc, metadata

template_versions = sa.Table(  # immutable: a run records the version's hash
    "template_versions",
    metadata,
    sa.Column("template", sa.String(50), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(24), nullable=False),
    sa.Column("definition", Json, nullable=False),  # bodies included
    sa.Column("applied_at", Utc, nullable=False),
)
