"""Evaluating segments and keeping who entered and left; reading it as a consumer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.values import TIME
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import CampaignError, InvalidInput, NotFound
from campaign_pipeline.core.ids import digest
from campaign_pipeline.core.tables import consents, contacts, suppressions
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.segments import campaign_variants
from campaign_pipeline.operations.snapshot import take_snapshot
from campaign_pipeline.segments.among import moves_others, reads, session_among
from campaign_pipeline.segments.catalogue import CONTACTS, EVENTS, MESSAGES
from campaign_pipeline.segments.cursors import Changes, advance, changes_for
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.evaluations import Evaluation, Rules, evaluations, last_evaluation, load_rules
from campaign_pipeline.segments.leftovers import remove_leftovers
from campaign_pipeline.segments.membership import Found, Overtaken, check_as_of, keep
from campaign_pipeline.segments.session import Session, open_session
from campaign_pipeline.segments.touched import (
    Inputs,
    contacts_of,
    event_files,
    remember_inputs,
    remembered_inputs,
    remove_old_fingerprints,
    take_fingerprints,
    touched,
)

ATTEMPTS = 3
"""How often an evaluation is begun anew because another of the same segment came in between."""

HISTORY = {
    "evaluation_id": pl.Int64,
    "as_of": TIME,
    "cause": pl.String,
    "members": pl.Int64,
    "entered": pl.Int64,
    "left": pl.Int64,
    "evaluated_at": TIME,
}


@dataclass(frozen=True)
class Evaluated:
    """What became of each segment: its evaluation, or the error that it has. The others do not suffer from it."""

    evaluations: dict[str, Evaluation] = field(default_factory=dict[str, Evaluation])
    errors: dict[str, CampaignError] = field(default_factory=dict[str, CampaignError])

    def require(self) -> list[Evaluation]:
        """The evaluations, if none has an error; else the one error, or one that lists them all."""
        if len(self.errors) == 1:
            raise next(iter(self.errors.values()))
        if self.errors:
            listed = "".join(f"\n  - {error.message}" for error in self.errors.values())
            raise InvalidInput(
                f"{len(self.errors)} of {len(self.errors) + len(self.evaluations)} segments have an error:{listed}",
                "The others were evaluated.",
            )
        return list(self.evaluations.values())


def segment_names(installation: Installation) -> list[str]:
    """Every segment that was applied, sorted."""
    with reading(installation.engine) as connection:
        return list(load_rules(connection).library)


def evaluate_segments(
    installation: Installation, names: Sequence[str] | None = None, as_of: datetime | None = None, *, fresh: bool = True
) -> Evaluated:
    """Work out who is in each of the segments (default: all) at `as_of` (default: now), and keep what changed.

    On the contacts as they are now (`fresh`) or as last snapshotted.
    """
    return _evaluate(installation, names, as_of, fresh=fresh, touched_only=False)


def evaluate_touched(
    installation: Installation, names: Sequence[str] | None = None, *, fresh: bool = True
) -> Evaluated:
    """Bring the segments (default: all) up to date for contacts with new events, and those that changed.

    A segment that cannot be brought up to date so (it or its rule is new, it compares contacts with each other, events
    are gone from the lake) is evaluated for everybody. Not in the result: segments of which nobody was touched.
    """
    evaluated = _evaluate(installation, names, None, fresh=fresh, touched_only=True)
    remove_old_fingerprints(installation.lake, segment_names(installation))
    return evaluated


def _evaluate(
    installation: Installation,
    names: Sequence[str] | None,
    as_of: datetime | None,
    *,
    fresh: bool,
    touched_only: bool,
) -> Evaluated:
    with reading(installation.engine) as connection:
        rules = load_rules(connection)
    left = list(rules.library if names is None else names)
    for name in left:
        _require_segment(rules, name)
    if left and (fresh or not installation.lake.exists(CONTACTS)):
        take_snapshot(installation)
    evaluated = Evaluated()
    for _ in range(ATTEMPTS):
        for name in left:
            evaluated.errors.pop(name, None)
        attempt = Attempt.begin(installation, rules, left, as_of, touched_only=touched_only)
        attempt.run(evaluated)
        left = [name for name, error in evaluated.errors.items() if isinstance(error, Overtaken)]
        if not left:
            break
    with reading(installation.engine) as connection:
        for name in evaluated.evaluations:
            remove_leftovers(connection, installation.lake, name)
    return evaluated


@dataclass(frozen=True)
class Attempt:
    """Evaluations in one go: at one moment, over one state of the lake.

    The last evaluations are read first, the inputs after them and the lake last: so none builds on what it has not
    seen, and what comes in meanwhile counts as new next time.
    """

    installation: Installation
    rules: Rules
    lasts: Mapping[str, Evaluation | None]
    begun: datetime
    as_of: datetime
    snapshot: Inputs | None
    """Of the contacts, if only the touched are looked at."""

    found: dict[tuple[Inputs, Inputs], pl.Series | None] = field(default_factory=dict[Any, Any])
    """Who was touched between two states: mostly the same for all segments."""

    @classmethod
    def begin(
        cls,
        installation: Installation,
        rules: Rules,
        names: Sequence[str],
        as_of: datetime | None,
        *,
        touched_only: bool,
    ) -> "Attempt":
        with reading(installation.engine) as connection:
            lasts = {name: last_evaluation(connection, name) for name in names}
        begun = installation.clock()
        snapshot = take_fingerprints(installation.lake) if touched_only and names else None
        return cls(installation, rules, lasts, begun, as_of or begun, snapshot)

    def run(self, evaluated: Evaluated) -> None:
        """Evaluate each segment; an error of one, which is noted, leaves the others alone."""
        lake = self.installation.lake
        files = {name: self._inputs(name) for name in self.lasts}
        among = {name: self._among(name, files[name]) for name in self.lasts}
        waiting = [name for name, who in among.items() if who is None or len(who)]
        if not waiting:
            return
        with reading(self.installation.engine) as connection:
            campaigns = campaign_variants(connection)
        with open_session(lake, campaigns=campaigns) as session:
            some = self._session_among(session, [who for who in among.values() if who is not None])
            for name in waiting:
                source = session if among[name] is None else some
                try:
                    evaluated.evaluations[name] = self._one(name, files[name], source, among[name])
                except CampaignError as error:
                    evaluated.errors[name] = error

    def _session_among(self, session: Session, touched: Sequence[pl.Series]) -> Session | None:
        """One for all who were touched: that a segment looks at others as well does no harm."""
        who = pl.concat([pl.Series(dtype=pl.String), *touched]).unique()
        return None if who.is_empty() else session_among(session, who)

    def _one(self, name: str, inputs: Inputs, source: Session | None, among: pl.Series | None) -> Evaluation:
        installation, library, last = self.installation, self.rules.library, self.lasts[name]
        check_as_of(name, self.as_of, last, self.begun)
        found = pl.DataFrame(schema={"contact_id": pl.String})
        if source:
            found = members(source, library[name], library, self.as_of)
        if among is not None:
            found = found.filter(pl.col("contact_id").is_in(among.implode()))
        new = Found(name, self.rules.hashes[name], self.as_of, found, self.begun, among)
        kept = keep(installation.engine, installation.lake, new, last)
        if kept != last:
            remember_inputs(installation.lake, name, inputs)
        return kept

    def _inputs(self, name: str) -> Inputs:
        lake = self.installation.lake
        # Without fingerprints of this snapshot, contacts are compared with an earlier one's: more of them changed.
        contacts = self.snapshot or contacts_of(remembered_inputs(lake, name))
        return event_files(lake, reads(self.rules.library[name], self.rules.library)) | contacts

    def _among(self, name: str, inputs: Inputs) -> pl.Series | None:
        """Whom to look at; None for everybody."""
        last, library, lake = self.lasts[name], self.rules.library, self.installation.lake
        if not self.snapshot or last is None or last.definition_hash != self.rules.hashes[name]:
            return None
        before = remembered_inputs(lake, name)
        if (before, inputs) not in self.found:
            self.found[before, inputs] = touched(lake, before, inputs)
        who = self.found[before, inputs]
        return who if who is None or who.is_empty() or not moves_others(library[name], library) else None


def touch_mark(installation: Installation) -> str:
    """A short text that is another as soon as contacts were touched; found in milliseconds, without telling whom."""
    newest = [
        sa.select(sa.func.count(), sa.func.max(contacts.c.updated_at)),
        sa.select(sa.func.max(consents.c.consent_id)),
        sa.select(sa.func.max(suppressions.c.suppression_id)),
    ]
    with reading(installation.engine) as connection:
        marks = [str(value) for query in newest for value in connection.execute(query).one()]
        hashes = load_rules(connection).hashes
    files = event_files(installation.lake, (EVENTS, MESSAGES))
    return digest(*marks, *(text for pair in sorted([*files, *hashes.items()]) for text in pair))


def history(installation: Installation, name: str, limit: int | None = None) -> pl.DataFrame:
    """The evaluations of segment `name`, newest first: HISTORY. NotFound if there is no such segment."""
    with reading(installation.engine) as connection:
        _require_segment(load_rules(connection), name)
        rows = [asdict(each) for each in evaluations(connection, name, limit=limit)]
    return pl.DataFrame(rows, HISTORY)


def read_changes(
    installation: Installation, consumer: str, name: str, *, from_beginning: bool = False, rebaselines: bool = False
) -> Changes:
    """Who entered and left segment `name` since `consumer` advanced last (see segments/cursors.py)."""
    with writing(installation.engine) as connection:
        _require_segment(load_rules(connection), name)
        return changes_for(
            connection,
            installation.lake,
            consumer,
            name,
            installation.clock(),
            from_beginning=from_beginning,
            rebaselines=rebaselines,
        )


def advance_consumer(installation: Installation, changes: Changes) -> int:
    """The consumer has done with these changes; where its cursor is now (an evaluation's id)."""
    with writing(installation.engine) as connection:
        return advance(connection, changes.consumer, changes.segment, changes.up_to, installation.clock())


def _require_segment(rules: Rules, name: str) -> None:
    if name not in rules.library:
        there = ", ".join(rules.library) or "none"
        raise NotFound(f"segment {name!r} does not exist", f"There are: {there}. Load some: campaigns apply DIR")
