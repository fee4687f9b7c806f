"""What a run will cost: parts of messages by the country that they go to, from a table of the team's own rates.

    currency: USD
    sms:
      default: 0.05
      "+1": 0.0079
      "+44": 0.04
    whatsapp:
      default: 0.01

The longest prefix of a number counts. Rates are per part (SMS) or message (WhatsApp); there are none in the product,
because every team has its own.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field, StringConstraints

from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.core.words import Channel

Prefix = Annotated[str, StringConstraints(pattern=r"^(default|\+[1-9][0-9]{0,14})$")]
Rate = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=8)]


class Rates(Definition):
    """Rates by channel and prefix of the number; `default` for all others."""

    currency: str = Field(pattern="^[A-Z]{3}$")
    sms: dict[Prefix, Rate] = Field(default_factory=dict)
    whatsapp: dict[Prefix, Rate] = Field(default_factory=dict)

    def of(self, channel: Channel) -> dict[str, Decimal]:
        return {Channel.SMS: self.sms, Channel.WHATSAPP: self.whatsapp}.get(channel, {})


def read_rates(file: Path) -> Rates:
    return read_definition(file, Rates)


def estimate(messages: pl.DataFrame, rates: dict[str, Decimal]) -> pl.DataFrame:
    """What `messages` (address, sms_parts) cost by prefix: prefix, messages, parts, cost (Float64); sorted by prefix.

    `cost` is null where there is neither a rate for the number nor a default. A message without parts counts as one.
    """
    prefixes = sorted((prefix for prefix in rates if prefix != "default"), key=len, reverse=True)
    prefix = pl.lit("default")
    for each in reversed(prefixes):  # the last one asked is the first that counts
        prefix = pl.when(pl.col("address").str.starts_with(each)).then(pl.lit(each)).otherwise(prefix)
    sums = (
        messages.select(prefix.alias("prefix"), pl.col("sms_parts").cast(pl.Int64).fill_null(1).alias("parts"))
        .group_by("prefix")
        .agg(pl.len().cast(pl.Int64).alias("messages"), pl.col("parts").sum())
        .sort("prefix")
    )
    costs = [
        float(rates[each] * parts) if each in rates else None for each, parts in sums.select("prefix", "parts").rows()
    ]
    return sums.with_columns(pl.Series("cost", costs, dtype=pl.Float64))
