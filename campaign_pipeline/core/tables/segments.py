"""Segment versions, and every evaluation of who is in a segment."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import BigId, Json, Utc, metadata

segment_versions = sa.Table(  # immutable
    "segment_versions",
    metadata,
    sa.Column("segment", sa.String(50), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(24), nullable=False),
    sa.Column("definition", Json, nullable=False),
    sa.Column("applied_at", Utc, nullable=False),
)

segment_evaluations = sa.Table(  # append-only; the members and changes are in the lake, this row makes them count
    "segment_evaluations",
    metadata,
    sa.Column("evaluation_id", BigId, primary_key=True, autoincrement=True),
    sa.Column("segment", sa.String(50), nullable=False),
    sa.Column("definition_hash", sa.String(24), nullable=False),  # of the segment and all that it refers to
    sa.Column("as_of", Utc, nullable=False),
    sa.Column("cause", sa.String(24), nullable=False),  # words.EvaluationCause
    sa.Column("partition", sa.String(80), nullable=False),  # of the lake's segment_membership and segment_changes
    sa.Column("members", sa.BigInteger, nullable=False),
    sa.Column("entered", sa.BigInteger, nullable=False),
    sa.Column("left", sa.BigInteger, nullable=False),
    sa.Column("evaluated_at", Utc, nullable=False),
    sa.Index(None, "segment", "evaluation_id"),
)

segment_cursors = sa.Table(  # how far each consumer of entered and left has read
    "segment_cursors",
    metadata,
    sa.Column("consumer", sa.String(64), primary_key=True),
    sa.Column("segment", sa.String(50), primary_key=True),
    sa.Column("evaluation_id", sa.BigInteger, nullable=False),
    sa.Column("moved_at", Utc, nullable=False),
)
