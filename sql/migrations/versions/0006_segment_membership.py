"""Evaluations of segments, and the cursors of those who read what changed."""

import sqlalchemy as sa
from alembic import op

revision = "0006_segment_membership"
down_revision = "0005_contacts_in_depth"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "segment_evaluations",
        sa.Column("evaluation_id", BIG_ID, nullable=False, autoincrement=True),
        sa.Column("segment", sa.String(50), nullable=False),
        sa.Column("definition_hash", sa.String(24), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.String(24), nullable=False),
        sa.Column("partition", sa.String(80), nullable=False),
        sa.Column("members", sa.BigInteger, nullable=False),
        sa.Column("entered", sa.BigInteger, nullable=False),
        sa.Column("left", sa.BigInteger, nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", name="pk_segment_evaluations"),
    )
    op.create_index("ix_segment_evaluations_segment_evaluation_id", "segment_evaluations", ["segment", "evaluation_id"])
    op.create_table(
        "segment_cursors",
        sa.Column("consumer", sa.String(64), nullable=False),
        sa.Column("segment", sa.String(50), nullable=False),
        sa.Column("evaluation_id", sa.BigInteger, nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "segment", name="pk_segment_cursors"),
    )


def downgrade() -> None:
    op.drop_table("segment_cursors")
    op.drop_table("segment_evaluations")
