"""Evaluations of segments: one row each time that it was worked out who is in a segment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.core.tables import segment_evaluations, segment_versions
from campaign_pipeline.core.versions import definition_hash, newest_versions
from campaign_pipeline.core.words import EvaluationCause
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.references import check_references

REBASELINES = frozenset({EvaluationCause.FIRST, EvaluationCause.DEFINITION_CHANGED})
"""Causes of changes that contacts did not make: nothing that waits for contacts to enter or leave starts by them."""


@dataclass(frozen=True)
class Evaluation:
    """One row of segment_evaluations. `members`, `entered` and `left` are numbers of contacts."""

    evaluation_id: int
    segment: str
    definition_hash: str
    as_of: datetime
    cause: EvaluationCause
    partition: str
    members: int
    entered: int
    left: int
    evaluated_at: datetime

    @property
    def is_rebaseline(self) -> bool:
        return self.cause in REBASELINES


@dataclass(frozen=True)
class Rules:
    """The newest version of every segment, and the hash by which a change of its rule is noticed."""

    library: Mapping[str, Segment]
    hashes: Mapping[str, str]


def load_rules(connection: sa.Connection) -> Rules:
    """Every segment that was applied.

    A hash covers the segment and all that it refers to, as they were kept and without their descriptions: a new
    wording or a new release of the product does not change it, a change of any of the rules does.
    """
    versions = newest_versions(connection, segment_versions)
    library = {name: Segment.model_validate(newest.definition) for name, newest in versions.items()}
    rules = {
        name: {key: value for key, value in newest.definition.items() if key != "description"}
        for name, newest in versions.items()
    }
    hashes = {
        name: definition_hash({each: rules[each] for each in check_references(library, [name])}) for name in library
    }
    return Rules(library, hashes)


def last_evaluation(connection: sa.Connection, segment: str) -> Evaluation | None:
    """The newest evaluation of `segment`; None before the first."""
    return next(iter(evaluations(connection, segment, limit=1)), None)


def evaluations(
    connection: sa.Connection, segment: str, *, after: int = 0, limit: int | None = None
) -> list[Evaluation]:
    """Evaluations of `segment` with an id above `after`, newest first, at most `limit`."""
    table = segment_evaluations
    columns = [table.c[field.name] for field in fields(Evaluation)]
    query = sa.select(*columns).where(table.c.segment == segment, table.c.evaluation_id > after)
    rows = connection.execute(query.order_by(table.c.evaluation_id.desc()).limit(limit))
    return [replace(Evaluation(*row), cause=EvaluationCause(row.cause)) for row in rows]
