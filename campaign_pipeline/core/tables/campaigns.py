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

rollout_parts = sa.Table(  # append-only: what was decided of a run's roll-out, and the run that follows from it
    "rollout_parts",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("parent_run_id", sa.String(80), nullable=False),  # the run that froze everybody
    sa.Column("part_no", sa.Integer, nullable=False),  # 1, 2 ...
    sa.Column("share_from", sa.Float, nullable=False),
    sa.Column("share_to", sa.Float, nullable=False),
    sa.Column("weights", Json, nullable=False),  # variant -> share of the part
    sa.Column("figures", Json, nullable=False),  # what it was decided by
    sa.Column("rule", sa.String(50), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("decided_at", Utc, nullable=False),
    sa.UniqueConstraint("parent_run_id", "part_no", name="uq_rollout_parts_parent"),
)

rollout_stops = sa.Table(  # roll-outs that a person ended; nothing of them follows any more
    "rollout_stops",
    metadata,
    sa.Column("parent_run_id", sa.String(80), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("stopped_by", sa.Text, nullable=False),
    sa.Column("stopped_at", Utc, nullable=False),
)

sending_versions = sa.Table(  # the team's policies: rates, warm-up, caps; experiments; the newest holds
    "sending_versions",
    metadata,
    sa.Column("policy", sa.String(50), primary_key=True),  # sending or experiments: there is one of each
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
