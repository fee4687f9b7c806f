"""How far the inbox was read, and experiments that were run elsewhere."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import Json, Utc, metadata

inbox_cursors = sa.Table(
    "inbox_cursors",
    metadata,
    sa.Column("file", sa.String(200), primary_key=True),  # name of the inbox file
    sa.Column("position", sa.BigInteger, nullable=False),  # bytes that were normalised
    sa.Column("updated_at", Utc, nullable=False),
)

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("experiment", sa.String(50), primary_key=True),
    sa.Column("definition", Json, nullable=False),  # variant column, control, metrics, source file's digest
    sa.Column("imported_at", Utc, nullable=False),
)
