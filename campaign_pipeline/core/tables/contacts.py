"""Who may be reached, where, and who must not be."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import BigId, Json, Utc, metadata

contacts = sa.Table(
    "contacts",
    metadata,
    sa.Column("contact_id", sa.String(24), primary_key=True),  # ids.contact_id(external_id)
    sa.Column("external_id", sa.Text, nullable=False, unique=True),  # what the user's system calls the contact
    sa.Column("email", sa.Text, index=True),  # normalised; null: none, or not valid
    sa.Column("email_raw", sa.Text),  # as it came
    sa.Column("phone", sa.Text, index=True),  # E.164; null: none, or not valid
    sa.Column("phone_raw", sa.Text),
    sa.Column("first_name", sa.Text),
    sa.Column("last_name", sa.Text),
    sa.Column("locale", sa.Text),  # BCP 47, such as de-AT
    sa.Column("country", sa.Text),  # ISO 3166-1 alpha-2
    sa.Column("timezone", sa.Text),  # IANA, such as Europe/Vienna
    sa.Column("attributes", Json, nullable=False),  # everything else: {name: string | number | boolean | null}
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc, nullable=False, index=True),
)

consents = sa.Table(  # append-only: the newest row of (contact, channel, purpose) counts
    "consents",
    metadata,
    sa.Column("consent_id", BigId, primary_key=True, autoincrement=True),
    sa.Column("contact_id", sa.String(24), nullable=False),
    sa.Column("channel", sa.String(16), nullable=False),
    sa.Column("purpose", sa.String(32), nullable=False),  # such as marketing
    sa.Column("state", sa.String(16), nullable=False),  # words.ConsentState
    sa.Column("source", sa.Text, nullable=False),  # where it was given: import, form, reply ...
    sa.Column("evidence", Json, nullable=False),
    sa.Column("recorded_at", Utc, nullable=False),
    sa.Index(None, "contact_id", "channel", "purpose"),
)

suppressions = sa.Table(  # append-only: the newest row of (address, channel, topic, reason) counts
    "suppressions",
    metadata,
    sa.Column("suppression_id", BigId, primary_key=True, autoincrement=True),
    sa.Column("channel", sa.String(16), nullable=False),  # words.Channel, or suppression.EVERY_CHANNEL
    sa.Column("topic", sa.String(64), nullable=False, server_default=""),  # a purpose of consent; "": all of them
    sa.Column("address", sa.Text, nullable=False),  # normalised e-mail or E.164: suppression follows the address
    sa.Column("hashed", sa.Boolean, nullable=False, server_default=sa.false()),  # address is a keyed hash: was erased
    sa.Column("active", sa.Boolean, nullable=False),  # false: lifted (START, or by an operator)
    sa.Column("reason", sa.String(32), nullable=False),  # words.SuppressionReason
    sa.Column(
        "source", sa.Text, nullable=False, index=True
    ),  # the event or operator behind it; unique: replays add nothing
    sa.Column("recorded_at", Utc, nullable=False, index=True),
    sa.Column("expires_at", Utc),  # null: holds until it is lifted
    sa.UniqueConstraint("channel", "topic", "address", "source"),
)

attributes = sa.Table(  # the catalogue of contacts' attributes: an import or an operator declares them
    "attributes",
    metadata,
    sa.Column("attribute", sa.String(64), primary_key=True),
    sa.Column("type", sa.String(16), nullable=False),  # values.ValueType
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.Column("declared_by", sa.Text, nullable=False),  # the import's id, or an operator
    sa.Column("declared_at", Utc, nullable=False),
)

list_members = sa.Table(  # hand-picked contacts; a change touches contacts.updated_at, so that snapshots see it
    "list_members",
    metadata,
    sa.Column("list", sa.String(50), primary_key=True),
    sa.Column("contact_id", sa.String(24), primary_key=True, index=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("added_at", Utc, nullable=False),
)

contact_tags = sa.Table(  # words put on contacts; a change touches contacts.updated_at
    "contact_tags",
    metadata,
    sa.Column("tag", sa.String(50), primary_key=True),
    sa.Column("contact_id", sa.String(24), primary_key=True, index=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("added_at", Utc, nullable=False),
)

imports = sa.Table(  # one row a file that was taken in: the same file twice is noticed
    "imports",
    metadata,
    sa.Column("import_id", sa.String(24), primary_key=True),  # digest of kind, content and mapping
    sa.Column("kind", sa.String(16), nullable=False),  # contacts | events
    sa.Column("source", sa.Text, nullable=False),  # the file's name
    sa.Column("rows_read", sa.Integer, nullable=False),
    sa.Column("rows_accepted", sa.Integer, nullable=False),
    sa.Column("rows_rejected", sa.Integer, nullable=False),
    sa.Column("imported_at", Utc, nullable=False),
)
