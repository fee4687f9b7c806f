"""The contact's rows in the operational database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.core import tables as t
from campaign_pipeline.core.database import reading
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.privacy.person import Person

Row = dict[str, Any]
Whose = Callable[[Person], sa.ColumnElement[bool]]


@dataclass(frozen=True)
class Rows:
    """Rows of `table` that are about a contact. Erased they are deleted, or, where figures need them, `emptied`."""

    table: sa.Table
    whose: Whose
    emptied: Callable[[Person], Mapping[str, Any]] | None = None

    @property
    def name(self) -> str:
        return self.table.name

    def find(self, installation: Installation, person: Person) -> list[Row]:
        query = sa.select(self.table).where(self.whose(person)).order_by(*self.table.primary_key)
        with reading(installation.engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def erase(self, connection: sa.Connection, person: Person) -> int:
        """How many rows were deleted or emptied."""
        condition = self.whose(person)
        if self.emptied is None:
            return connection.execute(sa.delete(self.table).where(condition)).rowcount
        values = self.emptied(person)
        return connection.execute(sa.update(self.table).where(condition).values(**values)).rowcount


def _by_contact(table: sa.Table) -> Whose:
    return lambda person: table.c.contact_id == person.contact_id


def _suppressed(person: Person) -> sa.ColumnElement[bool]:
    plain = sa.not_(t.suppressions.c.hashed)
    return sa.and_(plain, t.suppressions.c.address.in_(sorted(person.compared | person.addresses)))


def _sent(person: Person) -> sa.ColumnElement[bool]:
    ours = [
        sa.and_(t.outcomes.c.run_id == run_id, t.outcomes.c.message_no.in_(sorted(numbers)))
        for run_id, numbers in person.numbers.items()
    ]
    return sa.or_(sa.false(), *ours)


def _names(column: sa.Column[Any]) -> Whose:
    return lambda person: column.contains(person.contact_id, autoescape=True)


def _without(column: sa.Column[Any]) -> Callable[[Person], Mapping[str, Any]]:
    return lambda person: {column.name: sa.func.replace(column, person.contact_id, "(erased)")}


PERSONAL = (
    Rows(t.contacts, _by_contact(t.contacts)),
    Rows(t.consents, _by_contact(t.consents)),
    Rows(t.suppressions, _suppressed),
    Rows(t.list_members, _by_contact(t.list_members)),
    Rows(t.contact_tags, _by_contact(t.contact_tags)),
    Rows(t.coupon_codes, _by_contact(t.coupon_codes), lambda _person: {"contact_id": None}),  # it stays handed out
    Rows(t.contacted, _by_contact(t.contacted)),
    Rows(t.conversations, lambda person: t.conversations.c.address.in_(sorted(person.addresses))),
    Rows(t.outcomes, _sent, lambda _person: {"provider_id": ""}),
    Rows(t.runs, _names(t.runs.c.reason), _without(t.runs.c.reason)),  # errors name contacts by id
    Rows(t.state_changes, _names(t.state_changes.c.reason), _without(t.state_changes.c.reason)),
    Rows(t.rollout_parts, _names(t.rollout_parts.c.reason), _without(t.rollout_parts.c.reason)),  # what people wrote
    Rows(t.rollout_stops, _names(t.rollout_stops.c.reason), _without(t.rollout_stops.c.reason)),
)

NOT_PERSONAL = {
    "attributes": "names and types of attributes, not their values",
    "batch_outcomes": "what became of whole requests",
    "breaker_changes": "which senders were stopped, and why",
    "campaign_versions": "what authors wrote; nobody's data, unless an author names a person in it",
    "campaigns": "names and states",
    "claims": "numbers of batches",
    "experiments": "definitions of experiments that were run elsewhere",
    "imports": "names of files and numbers of rows",
    "inbox_cursors": "names of files and positions",
    "lookups": "numbers of messages, and what providers answered",
    "media": "names and types of images",
    "pacing": "names of senders and recipient domains, and times",
    "plans": "numbers of messages, and hashes of files",
    "segment_cursors": "names and numbers",
    "segment_evaluations": "numbers of members",
    "segment_versions": "what authors wrote; nobody's data, unless an author names a person in it",
    "sender_days": "names of senders and recipient domains, and numbers",
    "sending_versions": "what the team wrote of rates and caps",
    "stage_times": "names of runs, times and numbers",
    "template_versions": "what authors wrote; nobody's data, unless an author names a person in it",
    "touched": "days and runs that are to be written anew",
}
"""Tables that hold nothing about a contact, and why."""
