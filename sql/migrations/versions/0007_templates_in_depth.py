"""Coupon codes and media."""

import sqlalchemy as sa
from alembic import op

revision = "0007_templates_in_depth"
down_revision = "0006_segment_membership"


def upgrade() -> None:
    op.create_table(
        "coupon_codes",
        sa.Column("pool", sa.String(50), nullable=False),
        sa.Column("code", sa.String(100), nullable=False),
        sa.Column("run_id", sa.String(80)),
        sa.Column("contact_id", sa.String(24)),
        sa.Column("assigned_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("pool", "code", name="pk_coupon_codes"),
        sa.UniqueConstraint("pool", "run_id", "contact_id", name="uq_coupon_codes_pool_run_id_contact_id"),
    )
    op.create_table(
        "media",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("hash", sa.String(32), nullable=False),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_media"),
    )


def downgrade() -> None:
    op.drop_table("media")
    op.drop_table("coupon_codes")
