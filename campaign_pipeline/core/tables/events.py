"""How far the inbox was read, what of the lake it made stale, and experiments that were run elsewhere."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import Json, Utc, metadata

inbox_cursors = sa.Table(
    "inbox_cursors",
    metadata,
    sa.Column("file", sa.String(200), primary_key=True),  # name of the inbox file
    sa.Column("position", sa.BigInteger, nullable=False),  # bytes that were normalised
    sa.Column("updated_at", Utc, nullable=False),
)

touched = sa.Table(  # what is to be written anew, noted with the cursor; a row is gone once that is done
    "touched",
    metadata,
    sa.Column("kind", sa.String(12), primary_key=True),  # touched.Kind of events: day, run, result, report
    sa.Column("key", sa.String(100), primary_key=True),  # the day, the run, or run|day
    sa.Column(
        "noted", sa.String(32), nullable=False
    ),  # another one with each note: done is what was noted, and no more
    sa.Column("noted_at", Utc, nullable=False),  # first: since when it is stale
)

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("experiment", sa.String(50), primary_key=True),
    sa.Column("definition", Json, nullable=False),  # variant column, control, metrics, source file's digest
    sa.Column("imported_at", Utc, nullable=False),
)
