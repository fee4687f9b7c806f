"""Ending a doubt without proof: as the campaign's policy says once its window is over, or as a person says.

Neither knows what became of the message: a later event, look-up or answer of the provider counts more (see
states.strength). Policy and person decide one after the other, never about the same attempt at once.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import NotFound, Refused
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import state_changes
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.doubts import Rules, doubts_of, is_decided, read_doubts, read_lookups
from campaign_pipeline.dispatch.ledger import NEVER_LOSE, OutcomeRow, Source
from campaign_pipeline.dispatch.states import IN_FLIGHT, SETTLING, attempts, in_flight, is_repeated, states

WINDOW_PASSED = "window_passed"
BY_HAND = "by_hand"

VERDICTS = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.NOT_SENT)
"""What a person can say of a doubt."""

NOT_NOW = "Its campaign is paused or cancelled. See it with: campaigns status"

SAYS = {
    Source.SEND: "the provider's answer",
    Source.POLICY: "a rule of ours",
    Source.OPERATOR: "a person",
    Source.LOOKUP: "the provider, when it was asked,",
    Source.EVENT: "an event of the provider",
}


@dataclass(frozen=True)
class Decided:
    """What policy did, in messages."""

    given_up: int = 0  # unknown from now on
    sent_again: int = 0  # may be sent once more from now on


GoOn = Callable[[sa.Connection], bool]
"""Makes sure, within the transaction, that what may be sent again will be looked at; False: the run cannot go on."""


def decide(
    engine: sa.Engine, lake: Lake, run_id: str, now: datetime, rules: Rules, go_on: GoOn = lambda _connection: True
) -> Decided:
    """End the doubts whose window is over: never_lose has each sent once more, the others stay unknown.

    A message is repeated once at most, and not after the time at which nothing of the run is sent any more. Where the
    run cannot go on now, the doubt stays.
    """
    if not _due(read_doubts(engine, lake, run_id, now, rules), now, rules).height:
        return Decided()
    index = BatchFile(lake, run_id).index()
    with writing(engine) as connection:
        ledger.hold_run(connection, run_id)
        held, asked = ledger.read_ledger(connection, run_id), read_lookups(connection, run_id)
        due = _due(doubts_of(index, held, asked, now, rules), now, rules)
        again = due.filter(~pl.col("repeat") & rules.repeats(now))
        rest = due.join(again, on="message_no", how="anti")
        if again.height and not go_on(connection):
            again = again.clear()
        rows = [
            _row(run_id, message_no, attempt, Source.POLICY, outcome, code, now)
            for part, outcome, code in (
                (again, Outcome.NOT_SENT, NEVER_LOSE),
                (rest, Outcome.UNKNOWN, WINDOW_PASSED),
            )
            for message_no, attempt in part.select("message_no", "attempt").iter_rows()
        ]
        ledger.append(connection, rows)
    return Decided(rest.height, again.height)


def _due(doubts: pl.DataFrame, now: datetime, rules: Rules) -> pl.DataFrame:
    waits = pl.lit(rules.held and rules.repeats(now)) & ~pl.col("repeat")
    return doubts.filter(is_decided(rules, now) & ~waits)


def resolve(
    engine: sa.Engine,
    lake: Lake,
    run_id: str,
    message_ids: Collection[str],
    verdict: Outcome,
    now: datetime,
    *,
    actor: str,
    reason: str,
    settling: timedelta = SETTLING,
    go_on: GoOn = lambda _connection: True,
) -> int:
    """Write down what a person says of messages in doubt, all or none; how many that changed.

    Who said so and why goes to state_changes, a row a message. Saying it again changes nothing. NotFound for ids that
    are not of the run; Refused for a message that is not in doubt or may still be answered, and for NOT_SENT where the
    run cannot go on.
    """
    index = BatchFile(lake, run_id).index()
    messages = index.filter(pl.col("message_id").is_in(list(message_ids)))
    if missing := sorted(set(message_ids) - set(messages.get_column("message_id"))):
        raise NotFound(f"message {missing[0]} is not in {run_id}", "See its doubts with: campaigns doubts CAMPAIGN")
    with writing(engine) as connection:
        ledger.hold_run(connection, run_id)
        held = ledger.read_ledger_of(connection, run_id, messages["batch_no"].unique(), messages["message_no"])
        tries = attempts(messages, held)
        where = in_flight(states(messages, held), held.claims, now, settling).join(
            tries.select("message_no", "attempt", "source"), on=["message_no", "attempt"], how="left"
        )
        said = where.filter((pl.col("source") == Source.OPERATOR.value) & (pl.col("state") == verdict.value))
        changed = where.join(said, on="message_no", how="anti").join(
            messages.select("message_no", "message_id"), on="message_no"
        )
        for row in changed.iter_rows(named=True):
            _require_doubt(row, settling)
        # One that was sent once more may be in doubt about each time: what a person says, they say of the message.
        doubtful = tries.join(changed, on="message_no", how="semi").filter(_is_doubtful())
        rows = [
            _row(run_id, message_no, attempt, Source.OPERATOR, verdict, BY_HAND, now)
            for message_no, attempt in doubtful.select("message_no", "attempt").iter_rows()
        ]
        log = [
            {"subject": f"{run_id}:{message_id}", "from_state": state, "to_state": verdict.value}
            | {"actor": actor, "reason": reason, "changed_at": now}
            for message_id, state in changed.select("message_id", "state").iter_rows()
        ]
        if rows and verdict == Outcome.NOT_SENT and not go_on(connection):
            raise Refused(f"{run_id} cannot go on, so that nothing of it can be sent again", NOT_NOW)
        ledger.append(connection, rows)
        if log:
            connection.execute(sa.insert(state_changes), log)
    return changed.height


def _is_doubtful() -> pl.Expr:
    unsure = pl.col("outcome").is_in([Outcome.IN_DOUBT.value, Outcome.UNKNOWN.value])
    return pl.col("attempt").is_not_null() & (pl.col("outcome").is_null() | unsure | is_repeated())


def _require_doubt(row: dict[str, Any], settling: timedelta) -> None:
    """Refused unless a person may say what became of the message."""
    name, state = f"message {row['message_id']}", row["state"]
    if state in (Outcome.IN_DOUBT, Outcome.UNKNOWN) or (state == Outcome.NOT_SENT and row["code"] == NEVER_LOSE):
        return
    if state == IN_FLIGHT:
        raise Refused(f"{name} may still be answered", f"Look again when its claim is {settling} old.")
    says = f": {SAYS[Source(row['source'])]} says that it is {state}" if row["source"] else f", but {state}"
    raise Refused(f"{name} is not in doubt{says}")


def _row(
    run_id: str, message_no: int, attempt: int, source: Source, outcome: Outcome, code: str, now: datetime
) -> OutcomeRow:
    return OutcomeRow(run_id, message_no, attempt, source, outcome, code, "", now)
