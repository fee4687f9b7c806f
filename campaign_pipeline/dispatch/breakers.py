"""Circuit breakers: what a provider's refusals hold back, for all workers and runs, until a try or a person ends it.

    closed --refused--> open --its time is over--> half-open: one worker tries a small batch
      ^                  ^                              |
      |                  '------ refused again ---------+   (for twice as long, up to a longest pause)
      '------------- accepted, or closed by a person ---'

The table `breaker_changes` is only ever added to; of a subject the newest row counts. A subject is a channel, a sender
or a country: `channel:email`, `sender:sendgrid:news@example.com`, `country:sms:+49`. Half-open is an open breaker
whose newest row is the try of one worker; if that one is not heard of again, the next may try when its time is over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from campaign_pipeline.core.tables import breaker_changes
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.outcomes import VERDICTS, Kind

TRY = "try"
ACCEPTED = Kind.ACCEPTED.value
PERSON = "person"
"""`kind` of the rows that no refusal wrote: a worker tries, its try was accepted, a person closed the breaker."""

TRY_LASTS = timedelta(minutes=2)
"""How long the others wait for the result of a try: longer than any request."""


@dataclass(frozen=True)
class Breaker:
    """A subject's newest row, and what the rows before it say of how it came to be open."""

    change_id: int
    subject: str
    open: bool
    kind: str  # of the refusal that opened it, or PERSON, ACCEPTED
    code: str
    reason: str
    actor: str
    since: datetime  # when it was opened; closed: when it was closed
    until: datetime | None  # then one worker may try; None: until a person closes it
    tries: int = 0  # since it was opened

    @property
    def says(self) -> str:
        """What is held back and why, in words; without personal data."""
        until = f" until {self.until:%Y-%m-%d %H:%M:%S} UTC" if self.until else ""
        return f"{self.subject} is halted since {self.since:%Y-%m-%d %H:%M:%S}{until}: {self.reason}"

    @property
    def hint(self) -> str:
        tried = ", or wait: then one small batch tries" if self.until else ""
        return f"Mend it at the provider, then: campaigns senders reopen {self.subject} --reason WHY{tried}."


def of_channel(channel: Channel) -> str:
    return f"channel:{channel.value}"


def of_sender(sender: str) -> str:
    return f"sender:{sender}"


def of_country(channel: Channel, country: str) -> str:
    """`country` as contacts/phones.country_of gives it."""
    return f"country:{channel.value}:{country}"


_NEWEST_CHANGE = sa.select(sa.func.max(breaker_changes.c.change_id))  # made once: asked before each claim


def newest_change(connection: sa.Connection) -> int:
    """Another number than before says that some breaker has changed."""
    return connection.execute(_NEWEST_CHANGE).scalar_one() or 0


def breakers(connection: sa.Connection) -> dict[str, Breaker]:
    """Every breaker that was ever opened, by subject; most of them are closed."""
    rows = connection.execute(sa.select(breaker_changes).order_by(breaker_changes.c.change_id))
    found: dict[str, Breaker] = {}
    for row in rows:
        found[row.subject] = _after(found.get(row.subject), row)
    return dict(sorted(found.items()))


def open_breakers(connection: sa.Connection) -> list[Breaker]:
    return [breaker for breaker in breakers(connection).values() if breaker.open]


def trip(
    connection: sa.Connection,
    subject: str,
    kind: Kind,
    code: str,
    *,
    said_by: str,
    actor: str,
    at: datetime,
    pause: timedelta,
    longest: timedelta,
) -> None:
    """Open the breaker, or keep it open for longer after a try that failed. `said_by`: who refused, such as twilio."""
    known = breakers(connection).get(subject)
    tries = known.tries if known and known.open else 0
    until = at + min(pause * 2 ** min(tries, 20), longest)
    if known and known.open and known.kind != TRY and known.until and known.until >= until:
        return  # another worker met the same refusal
    reason = f"{said_by} answered {code}: {VERDICTS[kind].says}"
    _append(connection, subject, True, kind.value, actor, at, code=code, reason=reason, until=until)


def hold_for_try(connection: sa.Connection, seen: Breaker, actor: str, at: datetime) -> int | None:
    """Let `actor` alone try a small batch: the id of its row. None: the breaker has changed since it was seen."""
    row = sa.select(breaker_changes.c.change_id).where(breaker_changes.c.change_id == seen.change_id)
    connection.execute(row.with_for_update())  # of two that want it, one comes after the other from here on
    newest = sa.select(sa.func.max(breaker_changes.c.change_id)).where(breaker_changes.c.subject == seen.subject)
    if connection.execute(newest).scalar_one() != seen.change_id:
        return None
    return _append(
        connection, seen.subject, True, TRY, actor, at, code=seen.code, reason=seen.reason, until=at + TRY_LASTS
    )


def close(connection: sa.Connection, subject: str, kind: str, actor: str, at: datetime, reason: str = "") -> None:
    """Let everything go again. `kind`: ACCEPTED or PERSON."""
    _append(connection, subject, False, kind, actor, at, reason=reason)


def _after(before: Breaker | None, row: sa.Row[tuple[object, ...]]) -> Breaker:
    was_open = before is not None and before.open
    tried = row.kind == TRY
    return Breaker(
        row.change_id,
        row.subject,
        row.open,
        row.kind,
        row.code,
        row.reason,
        row.actor,
        since=before.since if before is not None and was_open and row.open else row.changed_at,
        until=row.until,
        tries=before.tries + tried if before is not None and was_open and row.open else int(tried),
    )


def _append(
    connection: sa.Connection,
    subject: str,
    is_open: bool,
    kind: str,
    actor: str,
    at: datetime,
    *,
    code: str = "",
    reason: str = "",
    until: datetime | None = None,
) -> int:
    row = {
        "subject": subject,
        "open": is_open,
        "kind": kind,
        "code": code,
        "reason": reason,
        "actor": actor,
        "until": until,
        "changed_at": at,
    }
    insert = sa.insert(breaker_changes).values(row).returning(breaker_changes.c.change_id)
    return connection.execute(insert).scalar_one()
