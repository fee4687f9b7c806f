"""Template versions and the dispatch ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002_campaign_messages"
down_revision = "0001_campaign_system_base"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "template_versions",
        sa.Column("template", sa.String(50), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("hash", sa.String(24), nullable=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("template", "version", name="pk_template_versions"),
    )
    op.create_table(
        "plans",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.Column("batches", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.String(24), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_plans"),
    )
    op.create_table(
        "claims",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("batch_no", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "batch_no", "attempt", name="pk_claims"),
    )
    op.create_table(
        "outcomes",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("message_no", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("source", sa.String(12), nullable=False),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("code", sa.Text, nullable=False, server_default=""),
        sa.Column("provider_id", sa.Text, nullable=False, server_default=""),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "message_no", "attempt", "source", name="pk_outcomes"),
    )


def downgrade() -> None:
    op.drop_table("outcomes")
    op.drop_table("claims")
    op.drop_table("plans")
    op.drop_table("template_versions")
