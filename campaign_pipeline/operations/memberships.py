"""Evaluating segments and keeping who entered and left; reading it as a consumer."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

import polars as pl

from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.contacts.values import TIME
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import CampaignError, InvalidInput, NotFound
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.segments.catalogue import CONTACTS, read_catalogue
from campaign_pipeline.segments.compiler import compiler, lake_tables
from campaign_pipeline.segments.cursors import Changes, advance, changes_for
from campaign_pipeline.segments.dialect import duckdb_sql
from campaign_pipeline.segments.evaluate import members, open_lake
from campaign_pipeline.segments.evaluations import Evaluation, Rules, evaluations, last_evaluation, load_rules
from campaign_pipeline.segments.leftovers import remove_leftovers
from campaign_pipeline.segments.membership import Found, Overtaken, check_as_of, keep, members_before
from campaign_pipeline.segments.touched import Inputs, current_inputs, remember_inputs, remembered_inputs, touched

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
    return _each(installation, names, lambda rules, name: _touched(installation, rules, name), fresh=fresh)


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
        write_snapshot(installation.engine, installation.lake, installation.clock())
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


def _whole(installation: Installation, rules: Rules, name: str, as_of: datetime | None) -> Evaluation:
    # The last evaluation is read first, the lake after it: an evaluation never builds on what it has not seen.
    last, begun = _last(installation, name), installation.clock()
    at = as_of or begun
    check_as_of(name, at, last, begun)
    inputs = _inputs(installation)
    found = members(installation.lake, rules.library[name], rules.library, at)
    return _keep(installation, Found(name, rules.hashes[name], at, found, begun), last, inputs)


def _touched(installation: Installation, rules: Rules, name: str) -> Evaluation | None:
    last, begun = _last(installation, name), installation.clock()
    seen = remembered_inputs(installation.lake, name)
    if last is None or seen is None or last.definition_hash != rules.hashes[name]:
        return _whole(installation, rules, name, None)
    inputs = _inputs(installation)
    with reading(installation.engine) as connection:
        who = touched(connection, installation.lake, seen, inputs)
    if who is None:
        return _whole(installation, rules, name, None)
    # Members who are no contacts any more were erased: nothing but their absence tells it.
    there = pl.scan_parquet(installation.lake.path(CONTACTS), glob=False).select("contact_id").collect()
    before = members_before(installation.engine, installation.lake, name, last)
    gone = before.join(there, on="contact_id", how="anti")["contact_id"]
    who = pl.concat([who, gone]).unique()
    if who.is_empty():
        return None
    found = _members_among(installation, rules, name, begun, who)
    return _keep(installation, Found(name, rules.hashes[name], begun, found, begun, among=who), last, inputs)


def _members_among(
    installation: Installation, rules: Rules, name: str, as_of: datetime, among: pl.Series
) -> pl.DataFrame:
    """Those of `among` who are in the segment: the same rule, asked of fewer contacts."""
    catalogue = read_catalogue(installation.lake)
    segment = rules.library[name]
    compiled = compiler(segment, rules.library, catalogue, lake_tables(catalogue), as_of)
    query = compiled.members(segment).where(compiled.tables.contacts.c.contact_id.in_(among.to_list()))
    with open_lake(installation.lake, compiled.tables) as connection:
        text, parameters = duckdb_sql(query)
        return connection.sql(text, params=parameters).pl()


def _last(installation: Installation, name: str) -> Evaluation | None:
    with reading(installation.engine) as connection:
        return last_evaluation(connection, name)


def _inputs(installation: Installation) -> Inputs:
    return current_inputs(installation.lake, installation.clock() - utc_now())


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
