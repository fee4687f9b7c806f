"""What a run will cost."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.rates import estimate, read_rates

TABLE = 'currency: EUR\nsms: {default: 0.1, "+1": 0.0079, "+1242": 0.2}\nwhatsapp: {"+43": 0.01}\n'


def test_the_longest_prefix_counts(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text(TABLE)
    rates = read_rates(tmp_path / "rates.yaml").of(Channel.SMS)
    assert rates["+1"] == Decimal("0.0079")
    messages = pl.DataFrame(
        {"address": ["+12125550100", "+12425550100", "+12425550101", "+436600"], "sms_parts": [3, 1, 1, None]}
    )
    assert estimate(messages, rates).rows() == [
        ("+1", 1, 3, 0.0237),
        ("+1242", 2, 2, 0.4),
        ("default", 1, 1, 0.1),
    ]


def test_without_a_rate_the_cost_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text(TABLE)
    rates = read_rates(tmp_path / "rates.yaml")
    messages = pl.DataFrame(
        {"address": ["+4312345", "+4912345"], "sms_parts": [None, None]}, {"address": pl.String, "sms_parts": pl.Int16}
    )
    assert estimate(messages, rates.of(Channel.WHATSAPP)).rows() == [("+43", 1, 1, 0.01), ("default", 1, 1, None)]
    assert rates.of(Channel.EMAIL) == {}


@pytest.mark.parametrize(
    "table", ["currency: euro\n", "currency: EUR\nsms: {AT: 1}\n", "currency: EUR\nsms: {'+1': -1}\n"]
)
def test_a_wrong_table_is_refused(tmp_path: Path, table: str) -> None:
    (tmp_path / "rates.yaml").write_text(table)
    with pytest.raises(InvalidDefinition):
        read_rates(tmp_path / "rates.yaml")
