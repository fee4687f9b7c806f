"""How long a run was frozen and rendered."""

import sqlalchemy as sa
from alembic import op

revision = "0010_stage_times"
down_revision = "0009_touched"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "stage_times",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=False),
        sa.Column("items", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stage", name="pk_stage_times"),
    )


def downgrade() -> None:
    op.drop_table("stage_times")
