"""Contacts, consent, suppression, imports, campaigns, runs and the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_campaign_system_base"
down_revision = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "contacts",
        sa.Column("contact_id", sa.String(24), nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("email_raw", sa.Text),
        sa.Column("phone", sa.Text),
        sa.Column("phone_raw", sa.Text),
        sa.Column("first_name", sa.Text),
        sa.Column("last_name", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("country", sa.Text),
        sa.Column("timezone", sa.Text),
        sa.Column("attributes", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contact_id", name="pk_contacts"),
        sa.UniqueConstraint("external_id", name="uq_contacts_external_id"),
    )
    op.create_index("ix_contacts_email", "contacts", ["email"])
    op.create_index("ix_contacts_phone", "contacts", ["phone"])
    op.create_index("ix_contacts_updated_at", "contacts", ["updated_at"])
    op.create_table(
        "consents",
        sa.Column("consent_id", BIG_ID, nullable=False, autoincrement=True),
        sa.Column("contact_id", sa.String(24), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consent_id", name="pk_consents"),
    )
    op.create_index("ix_consents_contact_id_channel_purpose", "consents", ["contact_id", "channel", "purpose"])
    op.create_table(
        "suppressions",
        sa.Column("suppression_id", BIG_ID, nullable=False, autoincrement=True),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("suppression_id", name="pk_suppressions"),
        sa.UniqueConstraint("channel", "address", "source", name="uq_suppressions_channel_address_source"),
    )
    op.create_index("ix_suppressions_recorded_at", "suppressions", ["recorded_at"])
    op.create_index("ix_suppressions_source", "suppressions", ["source"])
    op.create_table(
        "imports",
        sa.Column("import_id", sa.String(24), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("rows_read", sa.Integer, nullable=False),
        sa.Column("rows_accepted", sa.Integer, nullable=False),
        sa.Column("rows_rejected", sa.Integer, nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("import_id", name="pk_imports"),
    )
    op.create_table(
        "campaigns",
        sa.Column("campaign", sa.String(50), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("campaign", name="pk_campaigns"),
    )
    op.create_table(
        "campaign_versions",
        sa.Column("campaign", sa.String(50), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("hash", sa.String(24), nullable=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("campaign", "version", name="pk_campaign_versions"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(80), nullable=False),
        sa.Column("campaign", sa.String(50), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_campaign", "runs", ["campaign"])
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_table(
        "state_changes",
        sa.Column("change_id", BIG_ID, nullable=False, autoincrement=True),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_state_changes"),
    )
    op.create_index("ix_state_changes_subject", "state_changes", ["subject"])


def downgrade() -> None:
    op.drop_table("state_changes")
    op.drop_table("runs")
    op.drop_table("campaign_versions")
    op.drop_table("campaigns")
    op.drop_table("imports")
    op.drop_table("suppressions")
    op.drop_table("consents")
    op.drop_table("contacts")
