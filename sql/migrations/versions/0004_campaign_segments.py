"""Segment versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_campaign_segments"
down_revision = "0003_campaign_analytics"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "segment_versions",
        sa.Column("segment", sa.String(50), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("hash", sa.String(24), nullable=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("segment", "version", name="pk_segment_versions"),
    )


def downgrade() -> None:
    op.drop_table("segment_versions")
