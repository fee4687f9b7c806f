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

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field, StringConstraints

from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.core.words import Channel

Prefix = Annotated[str, StringConstraints(pattern=r"^(default|\+[1-9][0-9]{0,14})$")]
Rate = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=8)]

_PARTS = pl.col("sms_parts").cast(pl.Int64).fill_null(1)


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
    sums = (
        messages.select(_by_prefix(rates).alias("prefix"), _PARTS.alias("parts"))
        .group_by("prefix")
        .agg(pl.len().cast(pl.Int64).alias("messages"), pl.col("parts").sum())
        .sort("prefix")
    )
    costs = [
        float(rates[each] * parts) if each in rates else None for each, parts in sums.select("prefix", "parts").rows()
    ]
    return sums.with_columns(pl.Series("cost", costs, dtype=pl.Float64))


def _by_prefix(rates: dict[str, Decimal]) -> pl.Expr:
    """The prefix of `rates` that counts for each address: the longest one, or default."""
    prefix = pl.lit("default")
    for each in sorted((each for each in rates if each != "default"), key=len):  # what is asked last counts first
        prefix = pl.when(pl.col("address").str.starts_with(each)).then(pl.lit(each)).otherwise(prefix)
    return prefix


@dataclass(frozen=True)
class Prices:
    """What messages cost: by channel and prefix of the number, and an e-mail, all in one currency; None: not known."""

    rates: dict[Channel, dict[str, Decimal]] = field(default_factory=dict[Channel, dict[str, Decimal]])
    email: float | None = None

    def of(self, messages: pl.DataFrame) -> pl.Series:
        """The price of each of `messages` (channel, address, sms_parts): Float64, null where none is known."""
        price = pl.when(pl.col("channel") == Channel.EMAIL.value).then(pl.lit(self.email, pl.Float64))
        for channel, rates in self.rates.items():
            known = {prefix: float(rate) for prefix, rate in rates.items()}
            rate = _by_prefix(rates).replace_strict(known, default=None, return_dtype=pl.Float64)
            price = price.when(pl.col("channel") == channel.value).then(rate * _PARTS)
        return messages.select(price.otherwise(None).alias("cost")).to_series()


def read_prices(file: str, email_per_thousand: float) -> Prices:
    """Of the rates in `file` ('': none) and the price of 1,000 e-mails (0: not known)."""
    rates = read_rates(Path(file)) if file else None
    channels = (Channel.SMS, Channel.WHATSAPP)
    return Prices(
        {channel: rates.of(channel) for channel in channels if rates.of(channel)} if rates else {},
        email_per_thousand / 1000 if email_per_thousand else None,
    )
