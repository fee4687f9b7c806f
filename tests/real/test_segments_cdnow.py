"""CDNOW: RFM segments over 23,570 customers and 69,659 orders have the published sizes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.catalogue import Catalogue, read_catalogue
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluate import members, preview

AS_OF = datetime(1998, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def orders(shared_data: Path) -> pl.DataFrame:
    """contact_id, occurred_at, cents (Int64): one row an order, exact repeats included."""
    lines = (shared_data / "rfm" / "CDNOW_master.txt").read_text().splitlines()[1:]
    rows = [line.split() for line in lines if line.strip()]
    table = pl.DataFrame(rows, schema=["customer", "day", "quantity", "amount"], orient="row")
    return table.select(
        contact_id=pl.col("customer").map_elements(contact_id, return_dtype=pl.String),
        occurred_at=pl.col("day").str.to_datetime("%Y%m%d", time_unit="us", time_zone="UTC"),
        cents=(pl.col("amount").cast(pl.Float64) * 100).round().cast(pl.Int64),
    )


@pytest.fixture(scope="module")
def cdnow(orders: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("cdnow"))
    lake.write(orders.select("contact_id").unique().sort("contact_id"), "contact_snapshot")
    behaviour = orders.sort("occurred_at").select(
        event_id=pl.int_range(pl.len()).cast(pl.String),
        contact_id="contact_id",
        event=pl.lit("purchase"),
        occurred_at="occurred_at",
        properties=pl.struct(amount=pl.col("cents") / 100).struct.json_encode(),
    )
    lake.write(behaviour, "behaviour", "cdnow")
    return lake


@pytest.fixture(scope="module")
def catalogue(cdnow: Lake) -> Catalogue:
    return read_catalogue(cdnow)


def rfm(orders: int, amount: int, days: int) -> Segment:
    where = {
        "all": [
            {"did": {"event": "purchase", "count": {"gte": orders}, "sum": {"prop": "amount", "gte": amount}}},
            {"did": {"event": "purchase", "within": f"{days}d"}},
        ]
    }
    return Segment.model_validate({"segment": "rfm", "where": where})


def test_all_customers_and_orders_are_there(orders: pl.DataFrame) -> None:
    assert len(orders) == 69_659
    assert orders["contact_id"].n_unique() == 23_570
    assert orders["cents"].sum() == 250_031_563


@pytest.mark.parametrize(
    ("least", "amount", "days", "size"),
    [(3, 100, 180, 3_594), (2, 50, 90, 3_048), (5, 200, 365, 2_309), (1, 0, 30, 1_506)],
)
def test_an_rfm_segment_has_its_published_size(
    cdnow: Lake, catalogue: Catalogue, orders: pl.DataFrame, least: int, amount: int, days: int, size: int
) -> None:
    before = orders.filter(pl.col("occurred_at") < AS_OF).group_by("contact_id")
    per_contact = before.agg(number=pl.len(), cents=pl.col("cents").sum(), last=pl.col("occurred_at").max())
    expected = per_contact.filter(
        pl.col("number") >= least, pl.col("cents") >= 100 * amount, pl.col("last") >= AS_OF - timedelta(days=days)
    )
    found = members(cdnow, rfm(least, amount, days), {}, AS_OF, catalogue)
    assert found["contact_id"].to_list() == expected["contact_id"].sort().to_list()
    assert len(found) == size


def test_the_preview_of_the_rfm_segment_adds_up(cdnow: Lake, catalogue: Catalogue) -> None:
    found = preview(cdnow, rfm(3, 100, 180), {}, AS_OF, catalogue)
    assert (found.count, found.total) == (3_594, 23_570)
    assert [line.path for line in found.lines] == ["where", "where.all.0", "where.all.1"]
    assert found.lines[1].remains == found.lines[1].matches
    assert found.lines[2].remains == 3_594
    assert found.sample == members(cdnow, rfm(3, 100, 180), {}, AS_OF, catalogue)["contact_id"].to_list()[:10]


def test_scores_and_percentiles_are_those_that_polars_works_out(cdnow: Lake, orders: pl.DataFrame) -> None:
    year = orders.filter(pl.col("occurred_at") >= AS_OF - timedelta(days=365), pl.col("occurred_at") < AS_OF)
    found = year.group_by("contact_id").agg(
        recency=pl.col("occurred_at").max(), frequency=pl.len(), monetary=pl.col("cents").sum()
    )
    lower = {part: pl.col(part).rank("min") - 1 for part in ("recency", "frequency", "monetary")}
    scores = found.with_columns(**{part: 1 + 5 * rank // pl.len() for part, rank in lower.items()})
    best = scores.filter(pl.col("recency") >= 4, pl.col("frequency") == 5, pl.col("monetary").is_between(4, 5))
    leaf = {"event": "purchase", "amount": "amount", "within": "365d", "recency": {"gte": 4}, "frequency": {"eq": 5}}
    drawn = {"segment": "best", "where": {"rfm": leaf | {"monetary": {"between": [4, 5]}}}}
    assert members(cdnow, Segment.model_validate(drawn), {}, AS_OF)["contact_id"].to_list() == sorted(
        best["contact_id"]
    )
    assert best.height > 500

    top = found.filter(lower["monetary"] * 100 >= 90 * (pl.len() - 1))
    metrics = {"ltv": {"event": "purchase", "sum": "amount", "within": "365d"}}
    drawn = {"segment": "top", "metrics": metrics, "where": {"metric": {"name": "ltv", "percentile": {"gte": 90}}}}
    assert members(cdnow, Segment.model_validate(drawn), {}, AS_OF)["contact_id"].to_list() == sorted(top["contact_id"])
    assert 0.08 < top.height / found.height < 0.12
