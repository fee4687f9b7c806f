"""Message facts: the base of every campaign figure, one row per contact of a run's audience."""

from datetime import date

import polars as pl

from campaign_pipeline.analytics.event_days import event_files
from campaign_pipeline.analytics.models import Source, conform, files_source, partition_source, run_model
from campaign_pipeline.analytics.schemas import DELIVERY_EVENTS, MESSAGE_FACTS, MESSAGES, STATES
from campaign_pipeline.analytics.table_schemas import CONVERSIONS
from campaign_pipeline.core.errors import Inconsistent, NotFound
from campaign_pipeline.core.ids import parse_run_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import Channel
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.messages.rates import Prices

FEW_RECIPIENTS = 10
"""Domains with fewer recipients in a run are not named: they may tell who somebody is."""

OTHER_DOMAINS = "other"

NO_PRICES = Prices()


def build_message_facts(
    lake: Lake,
    run_id: str,
    states: pl.DataFrame,
    *,
    channel: str,
    converts: bool = False,
    prices: Prices = NO_PRICES,
    since: date | None = None,
) -> pl.DataFrame:
    """The facts of `run_id` (columns: schemas.MESSAGE_FACTS; meanings: sql/analytics/message_facts.sql).

    `states` has the ledger's newest state of each message: message_no, state, code, recorded_at, and
    whatever else. Messages that it does not name are planned; before rendering, all contacts are.
    `converts`: the campaign counts conversions. `since`: no event of the run is older.

    Raises NotFound without a frozen audience, Inconsistent when the ledger knows messages that were never
    planned, or twice the same.
    """
    campaign, _ = parse_run_id(run_id)
    if not lake.exists("audience", run_id):
        raise NotFound(f"the audience of run {run_id!r} is not in the lake", "Materialise audience first.")
    messages = _messages(lake, run_id, channel, prices)
    _check(run_id, states, messages.lazy())
    sources: dict[str, Source] = {
        "audience": str(lake.path("audience", run_id)),
        "messages": messages,
        "states": conform(states, STATES),
        "events": files_source(event_files(lake, run_id, since), DELIVERY_EVENTS),
        "conversions": partition_source(lake, "conversions", run_id, CONVERSIONS),
    }
    params = {"run_id": run_id, "campaign": campaign, "channel": channel, "converts": converts}
    return run_model("message_facts", sources, params, MESSAGE_FACTS)


def _messages(lake: Lake, run_id: str, channel: str, prices: Prices) -> pl.DataFrame:
    """MESSAGES of the run, with recipient_domain and cost in the place of their addresses."""
    if not lake.exists("messages", run_id):
        return pl.DataFrame(schema={**MESSAGES, "recipient_domain": pl.String, "cost": pl.Float64})
    messages = BatchFile(lake, run_id).index([*MESSAGES, "address"]).with_columns(pl.col("channel").fill_null(channel))
    domain = pl.when(pl.col("channel") == Channel.EMAIL.value).then(
        pl.col("address").str.extract("@([^@]+)$").str.to_lowercase()
    )
    named = messages.with_columns(prices.of(messages), recipient_domain=domain)
    few = pl.len().over("recipient_domain") < FEW_RECIPIENTS
    shown = pl.when(pl.col("recipient_domain").is_not_null() & few).then(pl.lit(OTHER_DOMAINS))
    shown = named.with_columns(recipient_domain=shown.otherwise("recipient_domain"))
    return conform(shown, {**MESSAGES, "recipient_domain": pl.String, "cost": pl.Float64})


def _check(run_id: str, states: pl.DataFrame, messages: pl.LazyFrame) -> None:
    if states["message_no"].is_duplicated().any():
        raise Inconsistent(f"run {run_id}: the ledger gives a message more than one state")
    planned = messages.select(pl.col("message_no").cast(pl.Int32))
    strangers = states.lazy().select(pl.col("message_no").cast(pl.Int32)).join(planned, on="message_no", how="anti")
    if count := strangers.select(pl.len()).collect().item():
        raise Inconsistent(f"run {run_id}: the ledger has {count} message(s) that the batch file has not")
