"""Template versions, and what messages take from elsewhere: coupon codes and media."""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import Json, Utc, metadata

template_versions = sa.Table(  # immutable: a run records the version's hash
    "template_versions",
    metadata,
    sa.Column("template", sa.String(50), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(24), nullable=False),
    sa.Column("definition", Json, nullable=False),  # bodies included
    sa.Column("applied_at", Utc, nullable=False),
)

coupon_codes = sa.Table(  # a code is free (run_id null) or handed out, once and for all
    "coupon_codes",
    metadata,
    sa.Column("pool", sa.String(50), primary_key=True),
    sa.Column("code", sa.String(100), primary_key=True),
    sa.Column("run_id", sa.String(80)),
    sa.Column("contact_id", sa.String(24)),  # null while free, and when the contact was erased
    sa.Column("assigned_at", Utc),
    sa.UniqueConstraint("pool", "run_id", "contact_id"),  # a contact gets one code of a pool in a run
)

media = sa.Table(  # immutable: a name that moves to other content gets a new version
    "media",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(32), nullable=False),  # of the content; the file is <hash>.<type>
    sa.Column("type", sa.String(8), nullable=False),  # png | jpeg | gif | webp
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("added_at", Utc, nullable=False),
)
