"""Evaluating segments and keeping who entered and left; reading it as a consumer."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

import polars as pl

from campaign_pipeline.contacts.values import TIME
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import CampaignError, InvalidInput, NotFound
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.snapshot import take_snapshot
from campaign_pipeline.segments.catalogue import CONTACTS
from campaign_pipeline.segments.cursors import Changes, advance, changes_for
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.evaluations import Evaluation, Rules, evaluations, last_evaluation, load_rules
from campaign_pipeline.segments.leftovers import remove_leftovers
from campaign_pipeline.segments.membership import Found, Overtaken, check_as_of, keep
from campaign_pipeline.segments.touched import (
    Inputs,
    contacts_of,
    event_files,
    members_among,
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
    installation: Installation, names: Iterable[str] | None = None, as_of: datetime | None = None, *, fresh: bool = True
) -> Evaluated:
    """Work out who is in each of the segments (default: all) at `as_of` (default: now), and keep what changed.

    On the contacts as they are now (`fresh`) or as last snapshotted.
    """
    return _each(installation, names, lambda rules, name: _whole(installation, rules, name, as_of), fresh=fresh)


def evaluate_touched(
    installation: Installation, names: Iterable[str] | None = None, *, fresh: bool = True
) -> Evaluated:
    """Bring the segments (default: all) up to date for contacts with new events, and those that changed.

    A segment that cannot be brought up to date so (it is new, its rule is, events are gone from the lake) is evaluated
    for everybody. Not in the result: segments of which nobody was touched.
    """
    evaluated = _each(installation, names, lambda rules, name: _touched(installation, rules, name), fresh=fresh)
    remove_old_fingerprints(installation.lake, segment_names(installation))
    return evaluated


def _each(
    installation: Installation,
    names: Iterable[str] | None,
    evaluate: Callable[[Rules, str], Evaluation | None],
    *,
    fresh: bool,
) -> Evaluated:
    with reading(installation.engine) as connection:
        rules = load_rules(connection)
    wanted = list(rules.library if names is None else names)
    for name in wanted:
        _require_segment(rules, name)
    if fresh or not installation.lake.exists(CONTACTS):
        take_snapshot(installation)
    evaluated = Evaluated()
    for name in wanted:
        try:
            kept = _insist(evaluate, rules, name)
        except CampaignError as error:
            evaluated.errors[name] = error
        else:
            if kept:
                evaluated.evaluations[name] = kept
                with reading(installation.engine) as connection:
                    remove_leftovers(connection, installation.lake, name)
    return evaluated


def _insist(evaluate: Callable[[Rules, str], Evaluation | None], rules: Rules, name: str) -> Evaluation | None:
    for _ in range(ATTEMPTS - 1):
        try:
            return evaluate(rules, name)
        except Overtaken:
            continue
    return evaluate(rules, name)


def _whole(
    installation: Installation, rules: Rules, name: str, as_of: datetime | None, snapshot: Inputs | None = None
) -> Evaluation:
    # The last evaluation is read first, the lake after it: an evaluation never builds on what it has not seen.
    last, begun = _last(installation, name), installation.clock()
    at = as_of or begun
    check_as_of(name, at, last, begun)
    # Without fingerprints of this snapshot, contacts are compared with those of an earlier one: more of them changed.
    contacts = snapshot or contacts_of(remembered_inputs(installation.lake, name))
    inputs = event_files(installation.lake) | contacts
    found = members(installation.lake, rules.library[name], rules.library, at)
    return _keep(installation, Found(name, rules.hashes[name], at, found, begun), last, inputs)


def _touched(installation: Installation, rules: Rules, name: str) -> Evaluation | None:
    lake = installation.lake
    snapshot = take_fingerprints(lake)
    last, begun = _last(installation, name), installation.clock()
    inputs = event_files(lake) | snapshot
    who = touched(lake, remembered_inputs(lake, name), inputs)
    if last is None or who is None or last.definition_hash != rules.hashes[name]:
        return _whole(installation, rules, name, None, snapshot)
    if who.is_empty():
        return None
    check_as_of(name, begun, last, begun)
    found = members_among(lake, rules.library[name], rules.library, begun, who)
    return _keep(installation, Found(name, rules.hashes[name], begun, found, begun, among=who), last, inputs)


def _last(installation: Installation, name: str) -> Evaluation | None:
    with reading(installation.engine) as connection:
        return last_evaluation(connection, name)


def _keep(installation: Installation, found: Found, last: Evaluation | None, inputs: Inputs) -> Evaluation:
    kept = keep(installation.engine, installation.lake, found, last)
    if kept != last:
        remember_inputs(installation.lake, found.segment, inputs)
    return kept


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
