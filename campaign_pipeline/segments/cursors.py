"""How far each consumer has read who entered and left a segment.

A consumer reads (`changes_for`), does what it does, and moves its cursor (`advance`). If it breaks off in between it
reads the same again: at least once. Each change has a key that stays the same, by which a consumer passes over what it
has done already: exactly once.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.contacts.values import TIME
from campaign_pipeline.core.database import insert_new
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.ids import check_name
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import segment_cursors
from campaign_pipeline.segments.evaluations import Evaluation, evaluations, last_evaluation
from campaign_pipeline.segments.membership import CHANGES

SCHEMA = {
    "change_key": pl.String,
    "contact_id": pl.String,
    "change": pl.String,
    "entered_at": TIME,
    "left_at": TIME,
    "evaluation_id": pl.Int64,
}


@dataclass(frozen=True)
class Changes:
    """What changed in `segment` since the cursor of `consumer`.

    `changes`: SCHEMA, oldest first; `change` is entered or left. `rebaselines`: evaluations that were first or followed
    a change of the rule; their changes are left out unless they were asked for. `up_to`: where to advance to.
    """

    consumer: str
    segment: str
    changes: pl.DataFrame
    rebaselines: list[Evaluation]
    up_to: int


def changes_for(
    connection: sa.Connection,
    lake: Lake,
    consumer: str,
    segment: str,
    at: datetime,
    *,
    from_beginning: bool = False,
    rebaselines: bool = False,
) -> Changes:
    """Who entered and left `segment` since `consumer` advanced last.

    `connection`: a write transaction, because a consumer that is new gets its cursor here, at `at`: it starts now, or
    `from_beginning`. `rebaselines`: with the changes that contacts did not make (see Changes).
    NotFound if the segment was never evaluated.
    """
    last = last_evaluation(connection, segment)
    if last is None:
        raise NotFound(
            f"segment {segment!r} was not evaluated yet", f"Evaluate it: campaigns segments evaluate {segment}"
        )
    start = 0 if from_beginning else last.evaluation_id
    new = {"consumer": check_name("consumer", consumer), "segment": segment, "evaluation_id": start, "moved_at": at}
    insert_new(connection, segment_cursors, [new])
    since = evaluations(connection, segment, after=cursor(connection, consumer, segment))[::-1]
    passed_over = [each for each in since if each.is_rebaseline]
    told = [each for each in since if each.entered + each.left and (rebaselines or not each.is_rebaseline)]
    changes = pl.concat([pl.DataFrame(schema=SCHEMA), *(_changes(lake, each) for each in told)])
    return Changes(consumer, segment, changes, passed_over, since[-1].evaluation_id if since else last.evaluation_id)


def _changes(lake: Lake, evaluation: Evaluation) -> pl.DataFrame:
    key = pl.concat_str(pl.lit(f"{evaluation.partition}/"), "contact_id")  # outlives ids of a restored database
    numbered = lake.read(CHANGES, evaluation.partition).with_columns(
        change_key=key, evaluation_id=pl.lit(evaluation.evaluation_id, pl.Int64)
    )
    return numbered.select(*SCHEMA)


def cursor(connection: sa.Connection, consumer: str, segment: str) -> int:
    """The newest evaluation of `segment` that `consumer` has done with; NotFound if it never read."""
    query = sa.select(segment_cursors.c.evaluation_id).where(_of(consumer, segment))
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise NotFound(
            f"consumer {consumer!r} has no cursor in segment {segment!r}",
            f"It gets one by reading: campaigns segments changes {segment} --consumer {consumer}",
        )
    return found


def advance(connection: sa.Connection, consumer: str, segment: str, up_to: int, at: datetime) -> int:
    """Say that `consumer` has done with everything up to evaluation `up_to` (of Changes); where its cursor is now.

    A cursor never moves backwards: one that is further already stays, for a repeat that comes late changes nothing.
    InvalidInput if `up_to` is beyond the last evaluation.
    """
    now = cursor(connection, consumer, segment)
    last = last_evaluation(connection, segment)
    if last is None or up_to > last.evaluation_id:
        raise InvalidInput(
            f"consumer {consumer!r}: evaluation {up_to} of segment {segment!r} does not exist yet",
            f"The last one is {last.evaluation_id if last else 'none'}.",
        )
    moved = sa.update(segment_cursors).where(_of(consumer, segment), segment_cursors.c.evaluation_id < up_to)
    connection.execute(moved.values(evaluation_id=up_to, moved_at=at))
    return max(now, up_to)


def _of(consumer: str, segment: str) -> sa.ColumnElement[bool]:
    return sa.and_(segment_cursors.c.consumer == consumer, segment_cursors.c.segment == segment)
