"""What workers share while they send: outcomes of whole batches, pace, breakers, caps, conversations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008_dispatch_at_scale"
down_revision = "0007_templates_in_depth"

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "batch_outcomes",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("batch_no", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("source", sa.String(12), nullable=False),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("code", sa.Text, nullable=False, server_default=""),
        sa.Column("provider_id", sa.Text, nullable=False, server_default=""),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "batch_no", "attempt", "source", name="pk_batch_outcomes"),
    )
    op.add_column("claims", sa.Column("covers", sa.Text))
    op.create_table(
        "lookups",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("message_no", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("finding", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "message_no", "attempt", "asked_at", name="pk_lookups"),
    )
    op.create_table(
        "pacing",
        sa.Column("sender", sa.String(200), nullable=False),
        sa.Column("domain", sa.String(255), nullable=False, server_default=""),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("sender", "domain", name="pk_pacing"),
    )
    op.create_table(
        "sender_days",
        sa.Column("sender", sa.String(200), nullable=False),
        sa.Column("domain", sa.String(255), nullable=False, server_default=""),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sender", "domain", "day", name="pk_sender_days"),
    )
    op.create_table(
        "breaker_changes",
        sa.Column("change_id", BIG_ID, nullable=False, autoincrement=True),
        sa.Column("subject", sa.String(250), nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False, server_default=""),
        sa.Column("code", sa.Text, nullable=False, server_default=""),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("until", TIME),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_breaker_changes"),
    )
    op.create_index("ix_breaker_changes_subject", "breaker_changes", ["subject"])
    op.create_table(
        "contacted",
        sa.Column("contact_id", sa.String(24), nullable=False),
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("message_no", sa.Integer, nullable=False),
        sa.Column("batch_no", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("contact_id", "run_id", name="pk_contacted"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "conversations",
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("last_inbound_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("channel", "address", name="pk_conversations"),
    )
    op.create_table(
        "sending_versions",
        sa.Column("policy", sa.String(50), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("hash", sa.String(24), nullable=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("applied_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("policy", "version", name="pk_sending_versions"),
    )
    op.add_column("runs", sa.Column("next_wave_at", TIME))


def downgrade() -> None:
    op.drop_column("runs", "next_wave_at")
    for table in ("sending_versions", "conversations", "contacted", "breaker_changes", "sender_days", "pacing"):
        op.drop_table(table)
    op.drop_table("lookups")
    op.drop_column("claims", "covers")
    op.drop_table("batch_outcomes")
