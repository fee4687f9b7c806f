"""Breakers, as a guard: what is held back waits, one worker tries, and answers open and close them (breakers.py)."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from campaign_pipeline.campaigns.sender_policy import BreakerPolicy
from campaign_pipeline.contacts.phones import country_of
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import breakers
from campaign_pipeline.dispatch.breakers import ACCEPTED, Breaker
from campaign_pipeline.dispatch.channels.base import Batch, Message, Result
from campaign_pipeline.dispatch.guards.base import CLEAR, Guard, LeftOut, Permit
from campaign_pipeline.dispatch.outcomes import Action, Kind

TRIED = 10
"""Messages of a try; of one to a country that is held: 1."""

LOOK_AGAIN = timedelta(hours=1)
"""When a run looks again for a breaker that only a person closes, if that person does not wake it."""

BatchKey = tuple[str, int]


@dataclass
class Breakers(Guard):
    """Of one channel and its sender. `actor`: the worker, as the rows that it writes name it."""

    engine: sa.Engine
    channel: Channel
    provider: str
    sender: str
    actor: str
    policy: BreakerPolicy
    _newest: int = -1
    _open: Mapping[str, Breaker] = field(default_factory=dict[str, Breaker])
    _tries: dict[str, tuple[int, BatchKey]] = field(default_factory=dict[str, tuple[int, BatchKey]])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._were_filtered: deque[bool] = deque(maxlen=self.policy.of)

    def look(self, batch: Batch, now: datetime) -> Permit:
        with self._lock:  # of several threads one tries
            current = self._current()
            return self._permit(current, batch, now) if current else CLEAR

    def told(self, batch: Batch, results: Sequence[Result], now: datetime) -> None:
        with self._lock:
            if not self._tries and all(result.kind is Kind.ACCEPTED for result in results):
                self._were_filtered.extend([False] * min(len(results), self.policy.of))
                return  # nearly always
            refused = self._refused(batch, results)
            proven = self._proven(batch, results) - set(refused)
            if not refused and not proven:
                return
            with writing(self.engine) as connection:
                for subject, result in refused.items():
                    self._trip(connection, subject, result, now)
                for subject in proven & {breaker.subject for breaker in breakers.open_breakers(connection)}:
                    breakers.close(connection, subject, ACCEPTED, self.actor, now, "a try was accepted")
            for subject in proven | set(refused):
                self._tries.pop(subject, None)

    def _current(self) -> Mapping[str, Breaker]:
        """The open breakers by subject; read again when one has changed."""
        with reading(self.engine) as connection:
            newest = breakers.newest_change(connection)
            if newest != self._newest:
                self._open = {breaker.subject: breaker for breaker in breakers.open_breakers(connection)}
                self._newest = newest
        return self._open

    def _permit(self, current: Mapping[str, Breaker], batch: Batch, now: datetime) -> Permit:
        tries = False
        for subject in (breakers.of_channel(self.channel), breakers.of_sender(self.sender)):
            breaker = current.get(subject)
            if breaker and not self._may_try(breaker, batch, now):
                return Permit(later=_later(breaker, now), for_all=True, why=breaker.says)
            tries = tries or breaker is not None
        held = [LeftOut(n, Outcome.NOT_SENT, "breaker_try") for n in batch.numbers[TRIED:]] if tries else []
        going = batch.messages[:TRIED] if tries else batch.messages
        by_country = self._held_countries(current, going, batch, now)
        if going and len(by_country) == len(going):
            first = min(by_country.values(), key=lambda breaker: _later(breaker, now))
            return Permit(later=_later(first, now), why=first.says)
        held += [LeftOut(number, Outcome.NOT_SENT, "country_held") for number in by_country]
        return Permit(left_out=tuple(held))

    def _held_countries(
        self, current: Mapping[str, Breaker], messages: Sequence[Message], batch: Batch, now: datetime
    ) -> dict[int, Breaker]:
        """Of messages to countries that are held: by number, all but one that tries."""
        held: dict[int, Breaker] = {}
        tried: set[str] = set()
        if not any(subject.startswith(breakers.of_country(self.channel, "")) for subject in current):
            return held
        for message in messages:
            breaker = current.get(self._country(message))
            if breaker is None:
                continue
            if breaker.subject not in tried and self._may_try(breaker, batch, now):
                tried.add(breaker.subject)
            else:
                held[message.message_no] = breaker
        return held

    def _may_try(self, breaker: Breaker, batch: Batch, now: datetime) -> bool:
        """Whether the batch is the one that tries: it was, or the breaker's time is over and nobody else tries."""
        running = breaker.until is None or breaker.until > now
        if running:
            return self._tries.get(breaker.subject) == (breaker.change_id, _key(batch))
        with writing(self.engine) as connection:
            change = breakers.hold_for_try(connection, breaker, self.actor, now)
        if change is None:
            return False
        self._tries[breaker.subject] = change, _key(batch)
        return True

    def _refused(self, batch: Batch, results: Sequence[Result]) -> dict[str, Result]:
        """What the answers speak against, each with one of them."""
        refused: dict[str, Result] = {}
        messages = {message.message_no: message for message in batch.messages}
        for result in results:
            if result.action == Action.HALT_CHANNEL:
                refused.setdefault(breakers.of_channel(self.channel), result)
            elif result.action == Action.HOLD_COUNTRY:
                refused.setdefault(self._country(messages[result.message_no]), result)
        if filtered := self._filtered(batch, results):
            refused[breakers.of_sender(self.sender)] = filtered
        return refused

    def _filtered(self, batch: Batch, results: Sequence[Result]) -> Result | None:
        """One of the messages taken for spam, if there are too many of them lately, or a try had nothing else."""
        answered = [result for result in results if result.outcome in (Outcome.ACCEPTED, Outcome.REJECTED)]
        filtered = [result for result in answered if result.kind == Kind.FILTERED]
        self._were_filtered.extend(result.kind == Kind.FILTERED for result in answered)
        failed = self._tried(breakers.of_sender(self.sender), batch) and len(filtered) == len(answered)
        if not filtered or not (failed or sum(self._were_filtered) >= self.policy.filtered):
            return None
        self._were_filtered.clear()
        return filtered[0]

    def _proven(self, batch: Batch, results: Sequence[Result]) -> set[str]:
        """What the batch tried, if an accepted answer speaks for it."""
        tried = {subject for subject in self._tries if self._tried(subject, batch)}
        if not tried:
            return set()
        accepted = {result.message_no for result in results if result.kind == Kind.ACCEPTED}
        countries = {self._country(message) for message in batch.messages if message.message_no in accepted}
        own = {breakers.of_channel(self.channel), breakers.of_sender(self.sender)} if accepted else set[str]()
        return tried & (own | countries)

    def _tried(self, subject: str, batch: Batch) -> bool:
        return subject in self._tries and self._tries[subject][1] == _key(batch)

    def _trip(self, connection: sa.Connection, subject: str, result: Result, now: datetime) -> None:
        breakers.trip(
            connection,
            subject,
            result.kind,
            result.code,
            said_by=self.provider,
            actor=self.actor,
            at=now,
            pause=self.policy.pause,
            longest=self.policy.longest,
        )

    def _country(self, message: Message) -> str:
        return breakers.of_country(self.channel, country_of(message.address))


def _later(breaker: Breaker, now: datetime) -> datetime:
    """When to look again: when its time is over, or when the try of another must be."""
    if breaker.until is None:
        return now + LOOK_AGAIN
    return breaker.until if breaker.until > now else now + breakers.TRY_LASTS


def _key(batch: Batch) -> BatchKey:
    return batch.run_id, batch.batch_no
