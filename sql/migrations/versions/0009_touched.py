"""What events made stale, noted in the transaction that takes them in, so that no crash forgets it."""

import sqlalchemy as sa
from alembic import op

revision = "0009_touched"
down_revision = "0008_dispatch_at_scale"


def upgrade() -> None:
    op.create_table(
        "touched",
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("noted", sa.String(32), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_touched"),
    )


def downgrade() -> None:
    op.drop_table("touched")
