"""What must hold before a run may send: looked at as asset checks, and again by dispatch itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.errors import GateFailed
from campaign_pipeline.core.words import AudienceStatus

COLUMNS = ("contact_id", "status", "address")
"""Of the audience: what `audience_gates` looks at."""


@dataclass(frozen=True)
class Gate:
    """The answer of one check: `found` is the number of contacts (or messages, or snapshots) that break it."""

    name: str
    passed: bool
    blocking: bool
    found: int
    description: str


def audience_gates(
    run: Run,
    audience: pl.DataFrame,
    consented: pl.Series,
    suppressed: pl.DataFrame,
    now: datetime,
    *,
    final: bool = False,
) -> list[Gate]:
    """The gates of a frozen audience (COLUMNS of it), against consent and suppression as they are now.

    `final`: its messages are planned, so that it is not frozen anew. What time has broken since the freeze does not
    fail then: before each claim, dispatch leaves out whoever must not be sent to any more.
    """
    planned = audience.filter(pl.col("status") == AudienceStatus.PLANNED)
    late_suppressed = planned.join(suppressed, on="address", how="semi").height
    without_consent = planned.filter(~pl.col("contact_id").is_in(consented.implode())).height
    repeated = planned.height - planned.get_column("address").n_unique()
    too_late = planned.height if run.deadline and now > run.deadline else 0
    return [
        _none("nobody_suppressed", late_suppressed, "planned contacts are suppressed", final),
        _none("everybody_consented", without_consent, "planned contacts have no consent for it", final),
        _none("one_message_an_address", repeated, "planned contacts share an address with another"),
        _none("before_the_deadline", too_late, "planned messages are past the campaign's send_before", final),
        Gate("audience_not_empty", planned.height > 0, False, planned.height, f"{planned.height} contacts are planned"),
    ]


def snapshot_gate(run: Run, age: timedelta | None, *, planned: bool) -> Gate:
    """Whether the contacts that the audience was frozen from are as fresh as the campaign demands.

    `age`: how long ago their snapshot was taken; None: nobody knows. `planned`: the messages are, so that the demand
    was met when it mattered.
    """
    limit = run.campaign.snapshot_max_age
    if limit is None:
        return Gate("snapshot_fresh", True, True, 0, "the campaign demands no freshness of its contacts")
    known = "at an unknown time" if age is None else f"{_hours(age)} ago"
    said = f"the audience comes from contacts as they were {known}; snapshot_max_age is {_hours(limit)}"
    if planned or (age is not None and age <= limit):
        return Gate("snapshot_fresh", True, True, 0, said)
    advice = "materialise contact_snapshot, segment_members and audience of this run again"
    return Gate("snapshot_fresh", False, True, 1, f"{said}: {advice}")


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):.4g} h"


def _none(name: str, found: int, what: str, left_to_claim: bool = False) -> Gate:
    later = ": dispatch leaves out those that are not sent yet" if left_to_claim and found else ""
    return Gate(name, found == 0 or left_to_claim, True, found, f"{found} {what}{later}")


AUDIENCE_HINT = "Materialise the audience of this run again: it is frozen anew as long as nothing was sent."


def require(gates: Sequence[Gate], hint: str = AUDIENCE_HINT) -> None:
    """GateFailed, naming every blocking gate that did not pass."""
    failed = [gate for gate in gates if gate.blocking and not gate.passed]
    if failed:
        raise GateFailed(
            "nothing was sent: " + "; ".join(f"{gate.name}: {gate.description}" for gate in failed),
            hint,
        )
