"""Lists and tags: contacts that somebody picked by hand, and words that somebody put on contacts.

The first use of a name makes the list or tag, and it is gone with its last contact. Every change touches the contacts'
`updated_at`, so that the next snapshot sees it.
"""

import difflib
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.queries import KEYS, stream_frame
from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.tables import contact_tags, contacts, list_members


@dataclass(frozen=True)
class Labels:
    """Lists or tags: the same in all but their name."""

    word: str
    table: sa.Table

    @property
    def name(self) -> sa.Column[str]:
        return self.table.c[self.word]


LISTS = Labels("list", list_members)
TAGS = Labels("tag", contact_tags)


def add(
    connection: sa.Connection, labels: Labels, name: str, contact_ids: pl.Series, *, source: str, at: datetime
) -> int:
    """Put contacts (ids of contacts that are here, each once) on the list or tag `name`; how many were not yet."""
    check_name(labels.word, name)
    common = {labels.word: name, "source": source, "added_at": at}
    rows = [common | {"contact_id": contact_id} for contact_id in contact_ids]
    added = insert_new(connection, labels.table, rows)
    if added:
        just_added = labels.name == name, labels.table.c.added_at == at, labels.table.c.source == source
        _touch(connection, sa.select(labels.table.c.contact_id).where(*just_added), at)
    return added


def remove(connection: sa.Connection, labels: Labels, name: str, contact_ids: pl.Series | None, *, at: datetime) -> int:
    """Take contacts (None: all) off the list or tag `name`; how many were on it. NotFound if there is none."""
    require(connection, labels, name)
    if contact_ids is None:
        return _remove(connection, labels, labels.name == name, at)
    removed = 0
    for start in range(0, len(contact_ids), KEYS):
        some = labels.table.c.contact_id.in_(contact_ids.slice(start, KEYS).to_list())
        removed += _remove(connection, labels, sa.and_(labels.name == name, some), at)
    return removed


def counts(connection: sa.Connection, labels: Labels) -> pl.DataFrame:
    """(name: String, contacts: Int64, newest: when somebody was added last), sorted by name."""
    query = (
        sa.select(labels.name, sa.func.count(), sa.func.max(labels.table.c.added_at))
        .group_by(labels.name)
        .order_by(labels.name)
    )
    schema = {"name": pl.String, "contacts": pl.Int64, "newest": pl.Datetime("us", "UTC")}
    return stream_frame(connection, query, schema)


def members(connection: sa.Connection, labels: Labels, name: str) -> pl.DataFrame:
    """(contact_id, external_id: String) of who is on the list or has the tag, sorted; NotFound if there is none."""
    require(connection, labels, name)
    joined = labels.table.join(contacts, contacts.c.contact_id == labels.table.c.contact_id)
    query = sa.select(contacts.c.contact_id, contacts.c.external_id).select_from(joined).where(labels.name == name)
    return stream_frame(connection, query, {"contact_id": pl.String, "external_id": pl.String}).sort("contact_id")


def require(connection: sa.Connection, labels: Labels, name: str) -> None:
    """NotFound, with the nearest name, if no contact is on it."""
    known = connection.execute(sa.select(labels.name).where(labels.name == name).limit(1)).first()
    if known is None:
        names = list(connection.execute(sa.select(labels.name).distinct()).scalars())
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"See: campaigns {labels.word}s show"
        raise NotFound(f"there is no {labels.word} {name!r}", hint)


def _remove(connection: sa.Connection, labels: Labels, chosen: sa.ColumnElement[bool], at: datetime) -> int:
    ids = sa.select(labels.table.c.contact_id).where(chosen)
    _touch(connection, ids, at)
    gone = sa.delete(labels.table).where(chosen).returning(labels.table.c.contact_id)
    return len(connection.execute(gone).all())


def _touch(connection: sa.Connection, ids: sa.Select[str], at: datetime) -> None:
    connection.execute(sa.update(contacts).where(contacts.c.contact_id.in_(ids)).values(updated_at=at))
