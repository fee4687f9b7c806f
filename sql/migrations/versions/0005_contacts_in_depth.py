"""Suppression by topic, with expiry and for erased addresses; attributes, lists and tags."""

import sqlalchemy as sa
from alembic import op

revision = "0005_contacts_in_depth"
down_revision = "0004_campaign_segments"


def upgrade() -> None:
    with op.batch_alter_table("suppressions") as table:
        table.add_column(sa.Column("topic", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("hashed", sa.Boolean, nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("expires_at", sa.DateTime(timezone=True)))
        table.drop_constraint("uq_suppressions_channel_address_source", type_="unique")
        table.create_unique_constraint(
            "uq_suppressions_channel_topic_address_source", ["channel", "topic", "address", "source"]
        )
    op.create_table(
        "attributes",
        sa.Column("attribute", sa.String(64), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("declared_by", sa.Text, nullable=False),
        sa.Column("declared_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("attribute", name="pk_attributes"),
    )
    for name, word in (("list_members", "list"), ("contact_tags", "tag")):
        op.create_table(
            name,
            sa.Column(word, sa.String(50), nullable=False),
            sa.Column("contact_id", sa.String(24), nullable=False),
            sa.Column("source", sa.Text, nullable=False),
            sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint(word, "contact_id", name=f"pk_{name}"),
        )
        op.create_index(f"ix_{name}_contact_id", name, ["contact_id"])


def downgrade() -> None:
    op.drop_table("contact_tags")
    op.drop_table("list_members")
    op.drop_table("attributes")
    with op.batch_alter_table("suppressions") as table:
        table.drop_constraint("uq_suppressions_channel_topic_address_source", type_="unique")
        table.create_unique_constraint("uq_suppressions_channel_address_source", ["channel", "address", "source"])
        table.drop_column("expires_at")
        table.drop_column("hashed")
        table.drop_column("topic")
