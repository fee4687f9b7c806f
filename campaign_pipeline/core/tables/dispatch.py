"""The dispatch ledger: append-only, so that what a crash leaves behind is always readable.

A batch is *claimed* (one row, committed before any byte leaves), then sent, then its *outcomes* are
appended, one row a message. State is derived: planned, claimed without outcome (in doubt), or its
outcome. No row is ever updated.
"""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import Utc, metadata

plans = sa.Table(  # one row a run: what was planned when the batches were written; never changes afterwards
    "plans",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("messages", sa.Integer, nullable=False),
    sa.Column("batches", sa.Integer, nullable=False),
    sa.Column("content_hash", sa.String(24), nullable=False),  # of the batch file
    sa.Column("planned_at", Utc, nullable=False),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("batch_no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),  # from 1
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("claimed_at", Utc, nullable=False),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("message_no", sa.Integer, primary_key=True, autoincrement=False),  # from 0, over the whole run
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("source", sa.String(12), primary_key=True),  # send | event | lookup | operator | policy
    sa.Column("outcome", sa.String(12), nullable=False),  # words.Outcome
    sa.Column("code", sa.Text, nullable=False, server_default=""),  # the provider's error code or our reason
    sa.Column("provider_id", sa.Text, nullable=False, server_default=""),  # SID or X-Message-Id
    sa.Column("recorded_at", Utc, nullable=False),
)
