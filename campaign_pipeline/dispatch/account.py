"""The account of a run: every contact of its audience and every planned message in exactly one place."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import run_state
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.tables import plans, runs
from campaign_pipeline.core.words import AudienceStatus, Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.rate import Throughput, throughput
from campaign_pipeline.dispatch.states import (
    IN_FLIGHT,
    OPEN,
    SETTLING,
    STANDBY,
    attempts,
    in_flight,
    is_repeated,
    states,
)

WANTED = is_repeated() | (
    (pl.col("source") == ledger.Source.OPERATOR.value) & (pl.col("outcome") == Outcome.NOT_SENT.value)
)
"""Rows of outcomes by which a message may be sent again though nobody knows that it was not sent."""


@dataclass(frozen=True)
class RunAccount:
    """Counts of one run; `messages` are by state: planned (not claimed yet), in_flight, or a words.Outcome."""

    run_id: str
    state: RunState
    audience: Mapping[str, int]  # contacts by words.AudienceStatus
    messages: Mapping[str, int]
    sent_again: int = 0  # messages that a policy or a person had sent once more, because nobody knew of the first time
    arrived_twice: int = 0  # of these, the ones that the provider is now known to have taken both times
    throughput: Throughput | None = None  # as of the moment for which it was asked, once it is planned

    @property
    def planned(self) -> int:
        """Messages that the run set out to send."""
        return sum(self.messages.values())

    @property
    def pending(self) -> int:
        """Messages that may still be sent: not claimed yet, or to be tried again."""
        return sum(count for state, count in self.messages.items() if state in OPEN)

    @property
    def standby(self) -> int:
        """Messages of fallback channels of which nobody knows yet whether they are needed."""
        return self.messages.get(STANDBY, 0)

    @property
    def in_doubt(self) -> int:
        return self.messages.get(Outcome.IN_DOUBT, 0)

    @property
    def in_flight(self) -> int:
        return self.messages.get(IN_FLIGHT, 0)

    def counts(self) -> dict[str, int]:
        """Contacts that were left out, and messages, by word: adds up to the audience."""
        left_out = {
            (f"{status}_before" if status == AudienceStatus.SUPPRESSED else status): count
            for status, count in self.audience.items()
            if status != AudienceStatus.PLANNED
        }
        sent = {state: count for state, count in self.messages.items() if state not in OPEN}
        return {**sent, "pending": self.pending, **left_out}

    def as_frame(self) -> pl.DataFrame:
        """Columns what (String), count (Int64): `counts`, largest first."""
        rows = sorted(self.counts().items(), key=lambda item: (-item[1], item[0]))
        return pl.DataFrame(rows, schema={"what": pl.String, "count": pl.Int64}, orient="row")


def account(
    engine: sa.Engine, lake: Lake, run_id: str, now: datetime | None = None, settling: timedelta = SETTLING
) -> RunAccount:
    """The run's account. Inconsistent if it does not add up or the ledger does not fit the plan (see `verify`).

    Before the run was planned, `messages` is empty. Without `now` nothing counts as in flight: only in doubt, and there
    is no `throughput`; with it, claims without outcome that are younger than `settling` are in flight.
    """
    file = BatchFile(lake, run_id)
    with reading(engine) as connection:
        state = run_state(connection, run_id)
        next_wave_at = connection.execute(sa.select(runs.c.next_wave_at).where(runs.c.run_id == run_id)).scalar_one()
        plan = connection.execute(sa.select(plans).where(plans.c.run_id == run_id)).one_or_none()
        held = ledger.read_ledger(connection, run_id)
    audience = lake.scan("audience", run_id).select("status").collect() if lake.exists("audience", run_id) else None
    statuses = {} if audience is None else _counted(audience, "status")
    if plan is None:
        if held.claims.height or held.outcomes.height:
            raise Inconsistent(f"{run_id} has {held.claims.height} claims in the ledger but no plan")
        return RunAccount(run_id, state, statuses, {})
    index = file.index()
    verify(run_id, plan.messages, plan.batches, index, held)
    where = states(index, held)
    pace = None
    if now:
        where = in_flight(where, held.claims, now, settling)
        goes_on = state == RunState.RUNNING
        pace = throughput(index, where, held.claims, now, goes_on=goes_on, next_wave_at=next_wave_at)
    found = RunAccount(run_id, state, statuses, _counted(where, "state"), *_repeats(index, held), pace)
    check_account(found, plan.messages, index.filter(pl.col("step") == 0).height)
    return found


def check_account(found: RunAccount, planned: int, contacts: int) -> None:
    """Inconsistent unless the account adds up to the plan, and its first messages (`contacts`) to the audience."""
    if found.planned != planned:
        raise Inconsistent(f"{found.run_id}: {planned} messages were planned, {found.planned} are accounted for")
    in_audience = found.audience.get(AudienceStatus.PLANNED, 0)
    if found.audience and in_audience != contacts:
        raise Inconsistent(f"{found.run_id}: the audience plans {in_audience} messages, the ledger {contacts}")


def verify(run_id: str, messages: int, batches: int, index: pl.DataFrame, held: ledger.Ledger) -> None:
    """Inconsistent unless plan (`messages`, `batches`), batch file (`index`) and ledger fit together."""
    claims, outcomes = held.claims, held.outcomes
    numbers, batch_nos = index.get_column("message_no").sort(), index.select("batch_no").unique()
    problems = {
        "the batch file does not hold the messages that were planned": index.height != messages,
        "messages are not numbered from 0 without gaps": not numbers.equals(pl.int_range(index.height, eager=True)),
        "message ids are not unique": index.get_column("message_id").n_unique() != index.height,
        "the batch file does not hold the batches that were planned": batch_nos.height != batches,
        "batches were claimed that do not exist": bool(claims.join(batch_nos, on="batch_no", how="anti").height),
        "messages have outcomes that do not exist": bool(outcomes.join(index, on="message_no", how="anti").height),
        "outcomes were recorded that nobody claimed": bool(_unclaimed(index, held)),
        "messages were accepted twice": bool(_accepted_twice(index, held)),
    }
    if found := [problem for problem, is_there in problems.items() if is_there]:
        raise Inconsistent(f"{run_id}: {'; '.join(found)}", "Do not send: compare ledger, batch file and plan first.")


def _unclaimed(index: pl.DataFrame, held: ledger.Ledger) -> int:
    single = held.outcomes.select("message_no", "attempt").join(index.select("message_no", "batch_no"), on="message_no")
    single = single.filter(pl.col("attempt") > 0)  # attempt 0 calls up a fallback, or ends it: nobody claims that
    said = pl.concat([single.select("batch_no", "attempt"), held.batch_outcomes.select("batch_no", "attempt")])
    return said.join(held.claims, on=["batch_no", "attempt"], how="anti").height


def _accepted_twice(index: pl.DataFrame, held: ledger.Ledger) -> int:
    """Messages with two accepted attempts, unless a policy or a person wanted the repeat.

    Every word of a provider counts; that of a person only where nothing was answered: people err.
    """
    outcomes = held.outcomes
    by_claim = attempts(index, held) if (held.claims["attempt"] > 1).any() else outcomes
    answered = outcomes.filter(pl.col("source") != ledger.Source.OPERATOR.value)
    accepted = (
        pl.concat([each.select("message_no", "attempt", "outcome") for each in (by_claim, answered)])
        .filter(pl.col("outcome") == Outcome.ACCEPTED.value)
        .unique(["message_no", "attempt"])
    )
    wanted = outcomes.filter(WANTED)
    return (
        accepted.join(wanted, on=["message_no", "attempt"], how="anti")
        .group_by("message_no")
        .len()
        .filter(pl.col("len") > 1)
        .height
    )


def _repeats(index: pl.DataFrame, held: ledger.Ledger) -> tuple[int, int]:
    """(messages that were sent again because a policy or a person wanted it, those of them that were taken twice)."""
    wanted = held.outcomes.filter(WANTED).group_by("message_no").agg(first=pl.col("attempt").min())
    if not wanted.height:
        return 0, 0
    tries = attempts(index.join(wanted, on="message_no", how="semi"), held).join(wanted, on="message_no")
    again = tries.filter(
        (pl.col("attempt") > pl.col("first")) & pl.col("source").ne_missing(ledger.Source.POLICY.value)
    )
    taken = tries.filter(pl.col("outcome") == Outcome.ACCEPTED.value)
    twice = taken.unique(["message_no", "provider_id"]).filter(pl.col("message_no").is_duplicated())
    return again.get_column("message_no").n_unique(), twice.get_column("message_no").n_unique()


def _counted(frame: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(frame.group_by(column).len().sort("len", column, descending=[True, False]).iter_rows())
