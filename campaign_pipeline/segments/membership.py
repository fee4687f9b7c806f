"""Who is in a segment over time: an evaluation is compared with the last one, and what changed is kept.

In the lake, for each evaluation that changed something:

- `segment_membership/<segment>/<key>`: contact_id (String), entered_at (Datetime us UTC: when the present stay began),
  sorted by contact_id. Only those of the newest evaluations are kept.
- `segment_changes/<segment>/<key>`: contact_id, change (entered | left), entered_at, left_at (null for entered), sorted
  by contact_id, each contact at most once. All are kept.

Then one row in segment_evaluations. The row is the commit: files that no row names do not count, whatever broke off
before it, and are removed later. An evaluation that changes nothing writes a row only, which names the files before.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.values import TIME
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound, Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import segment_evaluations
from campaign_pipeline.core.words import EvaluationCause
from campaign_pipeline.segments.evaluations import Evaluation, last_evaluation

MEMBERSHIP = "segment_membership"
CHANGES = "segment_changes"

MEMBERSHIP_SCHEMA = {"contact_id": pl.String, "entered_at": TIME}
CHANGES_SCHEMA = {"contact_id": pl.String, "change": pl.String, "entered_at": TIME, "left_at": TIME}
ENTERED, LEFT = "entered", "left"


class Overtaken(Refused):
    """Another evaluation of the segment was kept while this one was worked out: work it out again."""


@dataclass(frozen=True)
class Found:
    """What an evaluation of `segment` at `as_of` found, before it is kept.

    `members`: contact_id (String, each once). `among`: the contacts that were looked at, if not everybody; all others
    stay as they were. `evaluated_at`: when it was begun.
    """

    segment: str
    definition_hash: str
    as_of: datetime
    members: pl.DataFrame
    evaluated_at: datetime
    among: pl.Series | None = None


def check_as_of(segment: str, as_of: datetime, last: Evaluation | None, now: datetime) -> None:
    """InvalidInput unless `as_of` is between the last evaluation and now: membership follows time."""
    hint = f"To look at another moment, without keeping it: campaigns segments preview {segment} --as-of TIME"
    if as_of > now:
        raise InvalidInput(f"segment {segment}: as_of {as_of.isoformat()} is in the future", hint)
    if last and as_of < last.as_of:
        raise InvalidInput(
            f"segment {segment}: as_of {as_of.isoformat()} is before its last evaluation, {last.as_of.isoformat()}",
            hint,
        )


def read_members(lake: Lake, evaluation: Evaluation | None) -> pl.DataFrame:
    """The members that `evaluation` (one of the newest two of its segment) left: MEMBERSHIP_SCHEMA; nobody for None."""
    if evaluation is None:
        return pl.DataFrame(schema=MEMBERSHIP_SCHEMA)
    return lake.read(MEMBERSHIP, evaluation.partition)


def members_before(engine: sa.Engine, lake: Lake, segment: str, last: Evaluation | None) -> pl.DataFrame:
    """The members that `last` left; Overtaken if others have gone on so far that the file was removed."""
    try:
        return read_members(lake, last)
    except NotFound:
        with reading(engine) as connection:
            _require_last(connection, segment, last)
        raise


def compare(before: pl.DataFrame, found: Found) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(the members now, what changed): MEMBERSHIP_SCHEMA and CHANGES_SCHEMA, by contact_id; `before` like the first."""
    now = found.members.select("contact_id")
    if found.among is not None:
        others = before.filter(~pl.col("contact_id").is_in(found.among.implode()))
        now = pl.concat([others.select("contact_id"), now])
    at = pl.lit(found.as_of, TIME)
    stayed = now.sort("contact_id").join(before, on="contact_id", how="left", maintain_order="left")
    entered = stayed.filter(pl.col("entered_at").is_null())
    left = before.join(now, on="contact_id", how="anti")
    changes = pl.concat(
        [
            entered.with_columns(change=pl.lit(ENTERED), entered_at=at, left_at=pl.lit(None, TIME)),
            left.with_columns(change=pl.lit(LEFT), left_at=at),
        ],
        how="diagonal",
    )
    return stayed.with_columns(pl.col("entered_at").fill_null(at)), changes.select(*CHANGES_SCHEMA).sort("contact_id")


def keep(engine: sa.Engine, lake: Lake, found: Found, last: Evaluation | None) -> Evaluation:
    """Keep what was found as an evaluation that follows `last`, which was read before it was worked out.

    At the same as_of with the same rule and nothing changed, nothing is kept and `last` is returned.
    InvalidInput if as_of goes backwards; Overtaken if `last` is not the last any more.
    """
    check_as_of(found.segment, found.as_of, last, found.evaluated_at)
    cause = _cause(found, last)
    members, changes = compare(members_before(engine, lake, found.segment, last), found)
    if last and changes.is_empty():
        if (found.as_of, found.definition_hash) == (last.as_of, last.definition_hash):
            return last
        partition = last.partition
    else:
        partition = _new_partition(found)
        lake.write(members, MEMBERSHIP, partition)
        lake.write(changes, CHANGES, partition)
    entered = int((changes["change"] == ENTERED).sum())
    return _commit(
        engine,
        last,
        segment=found.segment,
        definition_hash=found.definition_hash,
        as_of=found.as_of,
        cause=cause.value,
        partition=partition,
        members=members.height,
        entered=entered,
        left=changes.height - entered,
        evaluated_at=found.evaluated_at,
    )


def _commit(engine: sa.Engine, last: Evaluation | None, *, segment: str, **row: object) -> Evaluation:
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # on SQLite, only one may write anyway
            connection.execute(sa.text("LOCK TABLE segment_evaluations IN SHARE ROW EXCLUSIVE MODE"))
        _require_last(connection, segment, last)
        connection.execute(sa.insert(segment_evaluations).values(segment=segment, **row))
        kept = last_evaluation(connection, segment)
    assert kept is not None
    return kept


def _require_last(connection: sa.Connection, segment: str, last: Evaluation | None) -> None:
    if last_evaluation(connection, segment) != last:
        raise Overtaken(
            f"segment {segment}: another evaluation was kept while this one was worked out",
            f"Evaluate it again: campaigns segments evaluate {segment}",
        )


def _cause(found: Found, last: Evaluation | None) -> EvaluationCause:
    rule_is_new = last is None or found.definition_hash != last.definition_hash
    assert not (rule_is_new and found.among is not None), "a new rule is looked at for everybody"
    if last is None:
        return EvaluationCause.FIRST
    if rule_is_new:
        return EvaluationCause.DEFINITION_CHANGED
    return EvaluationCause.SCHEDULED if found.among is None else EvaluationCause.TOUCHED


def _new_partition(found: Found) -> str:
    """A name of its own for every attempt: one that broke off, or that lost a race, disturbs no other."""
    return f"{found.segment}/{found.as_of.astimezone(UTC):%Y%m%dt%H%M%Sz}-{uuid4().hex[:8]}"
