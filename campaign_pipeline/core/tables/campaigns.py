"""Campaign definitions by version, runs, and the record of every change of state."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import BigId, Json, Utc, metadata

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("campaign", sa.String(50), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),  # the version that the next run takes
    sa.Column("state", sa.String(16), nullable=False),  # words.RunState
    sa.Column("updated_at", Utc, nullable=False),
)

campaign_versions = sa.Table(  # immutable; applying a changed file adds a version
    "campaign_versions",
    metadata,
    sa.Column("campaign", sa.String(50), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(24), nullable=False),
    sa.Column("definition", Json, nullable=False),
    sa.Column("applied_at", Utc, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),  # the Dagster partition key; unique: one run an occurrence
    sa.Column("campaign", sa.String(50), nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("as_of", Utc, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),  # words.RunState
    sa.Column("reason", sa.Text, nullable=False, server_default=""),  # why paused, cancelled or failed
    sa.Column("requested_by", sa.Text, nullable=False),  # cli | schedule | demo
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("finished_at", Utc),
    sa.Column("next_wave_at", Utc),  # when something of it is due again; null: at once
)

sending_versions = sa.Table(  # the team's sending policy: rates, warm-up, caps; the newest holds
    "sending_versions",
    metadata,
    sa.Column("policy", sa.String(50), primary_key=True),  # sending: there is one
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(24), nullable=False),
    sa.Column("definition", Json, nullable=False),
    sa.Column("applied_at", Utc, nullable=False),
)

state_changes = sa.Table(  # append-only: the audit log
    "state_changes",
    metadata,
    sa.Column("change_id", BigId, primary_key=True, autoincrement=True),
    sa.Column("subject", sa.String(100), nullable=False, index=True),  # campaign or run id
    sa.Column("from_state", sa.String(16), nullable=False),
    sa.Column("to_state", sa.String(16), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
)

stage_times = sa.Table(  # how long a run was frozen and rendered, the last time that this changed anything
    "stage_times",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("stage", sa.String(16), primary_key=True),  # audience | messages
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("finished_at", Utc, nullable=False),
    sa.Column("items", sa.BigInteger, nullable=False),  # contacts, or messages
)
