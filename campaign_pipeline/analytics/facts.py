"""Message facts: the base of every campaign figure, one row per contact of a run's audience."""

import polars as pl

from campaign_pipeline.analytics.models import Source, conform, lake_source, run_model
from campaign_pipeline.analytics.schemas import DELIVERY_EVENTS, MESSAGE_FACTS, MESSAGES, STATES
from campaign_pipeline.core.errors import Inconsistent, NotFound
from campaign_pipeline.core.ids import parse_run_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.dispatch.batches import BatchFile


def build_message_facts(lake: Lake, run_id: str, states: pl.DataFrame, *, channel: str) -> pl.DataFrame:
    """The facts of `run_id` (columns: schemas.MESSAGE_FACTS; meanings: sql/analytics/message_facts.sql).

    `states` has the ledger's newest state of each message: message_no, state, code, recorded_at, and
    whatever else. Messages that it does not name are planned; before rendering, all contacts are.

    Raises NotFound without a frozen audience, Inconsistent when the ledger knows messages that were never
    planned, or twice the same.
    """
    campaign, _ = parse_run_id(run_id)
    if not lake.exists("audience", run_id):
        raise NotFound(f"the audience of run {run_id!r} is not in the lake", "Materialise audience first.")
    rendered = lake.exists("messages", run_id)
    messages = (
        conform(BatchFile(lake, run_id).index(list(MESSAGES)), MESSAGES) if rendered else pl.DataFrame(schema=MESSAGES)
    )
    _check(run_id, states, messages.lazy())
    sources: dict[str, Source] = {
        "audience": str(lake.path("audience", run_id)),
        "messages": messages,
        "states": conform(states, STATES),
        "events": lake_source(lake, "delivery_events", DELIVERY_EVENTS),
    }
    params = {"run_id": run_id, "campaign": campaign, "channel": channel}
    return run_model("message_facts", sources, params, MESSAGE_FACTS)


def _check(run_id: str, states: pl.DataFrame, messages: pl.LazyFrame) -> None:
    if states["message_no"].is_duplicated().any():
        raise Inconsistent(f"run {run_id}: the ledger gives a message more than one state")
    planned = messages.select(pl.col("message_no").cast(pl.Int32))
    strangers = states.lazy().select(pl.col("message_no").cast(pl.Int32)).join(planned, on="message_no", how="anti")
    if count := strangers.select(pl.len()).collect().item():
        raise Inconsistent(f"run {run_id}: the ledger has {count} message(s) that the batch file has not")
