"""Segment versions."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import Json, Utc, metadata

segment_versions = sa.Table(  # immutable
    "segment_versions",
    metadata,
    sa.Column("segment", sa.String(50), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(24), nullable=False),
    sa.Column("definition", Json, nullable=False),
    sa.Column("applied_at", Utc, nullable=False),
)
