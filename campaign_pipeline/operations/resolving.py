"""Resolving doubts by hand: a person says what became of messages, and is written down with it."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial

import polars as pl

from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.decide import resolve
from campaign_pipeline.operations.doubts import doubts_in, go_on, note_next_look, planned_runs
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.sending import end_messages


def resolve_doubts(
    installation: Installation,
    campaign: str,
    message_ids: Collection[str],
    verdict: Outcome,
    *,
    actor: str,
    reason: str,
    whole_batches: bool = False,
) -> dict[str, int]:
    """Write down what a person says of messages in doubt; run id -> messages of it that this changed.

    Of each run all messages or none. `verdict`: accepted, rejected, or not_sent, which may be sent again: a run that
    was completed goes on. `whole_batches`: said of every doubt in the batches of these messages. NotFound for messages
    that no run of the campaign has. Refused when something proves that a message is not in doubt, or for not_sent while
    the campaign is paused or after it was cancelled.
    """
    if not reason.strip():
        raise InvalidInput("no reason is given", "Say how you know, with --reason.")
    by_run = _by_run(installation, planned_runs(installation, campaign), message_ids)
    settling = timedelta(seconds=installation.settings.settling_seconds)
    changed: dict[str, int] = {}
    for run, ids in by_run:
        now = installation.clock()
        changed[run.run_id] = resolve(
            installation.engine,
            installation.lake,
            run.run_id,
            _with_their_batches(installation, run, ids) if whole_batches else ids,
            verdict,
            now,
            actor=actor,
            reason=reason,
            settling=settling,
            go_on=partial(go_on, run_id=run.run_id, actor=actor, at=now, reason=reason),
        )
        end_messages(installation, run.run_id, worker_name=f"resolved by {actor}")
        counts = account(installation.engine, installation.lake, run.run_id, now, settling)
        note_next_look(installation, run, counts)
    return changed


def _with_their_batches(installation: Installation, run: Run, message_ids: Collection[str]) -> set[str]:
    """The messages, and every other doubt of their batches."""
    doubts = doubts_in(installation, run).doubts
    batches = doubts.filter(pl.col("message_id").is_in(list(message_ids))).get_column("batch_no")
    return {*message_ids, *doubts.filter(pl.col("batch_no").is_in(batches.implode())).get_column("message_id")}


def _by_run(
    installation: Installation, planned: Sequence[Run], message_ids: Collection[str]
) -> list[tuple[Run, list[str]]]:
    """The runs that have the messages, each with its own."""
    wanted = pl.Series(sorted(set(message_ids)), dtype=pl.String)
    found: list[tuple[Run, list[str]]] = []
    for run in planned:
        ids = BatchFile(installation.lake, run.run_id).index().get_column("message_id")
        if here := wanted.filter(wanted.is_in(ids.implode())).to_list():
            found.append((run, here))
            wanted = wanted.filter(~wanted.is_in(here))
    if wanted.len():
        raise NotFound(f"message {wanted[0]} is in no run", "See the doubts with: campaigns doubts CAMPAIGN")
    return found
