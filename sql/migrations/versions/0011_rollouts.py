"""Roll-outs: what was decided of each, the runs that follow from it, and which were stopped."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011_rollouts"
down_revision = "0010_stage_times"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "rollout_parts",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("parent_run_id", sa.String(80), nullable=False),
        sa.Column("part_no", sa.Integer, nullable=False),
        sa.Column("share_from", sa.Float, nullable=False),
        sa.Column("share_to", sa.Float, nullable=False),
        sa.Column("weights", JSON, nullable=False),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("rule", sa.String(50), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_rollout_parts"),
        sa.UniqueConstraint("parent_run_id", "part_no", name="uq_rollout_parts_parent"),
    )
    op.create_table(
        "rollout_stops",
        sa.Column("parent_run_id", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("stopped_by", sa.Text, nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("parent_run_id", name="pk_rollout_stops"),
    )


def downgrade() -> None:
    op.drop_table("rollout_stops")
    op.drop_table("rollout_parts")
