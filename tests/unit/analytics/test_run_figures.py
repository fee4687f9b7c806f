"""The tables of one run beside its metrics: exact figures of a small run."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.analytics.facts import build_message_facts
from campaign_pipeline.analytics.metrics import build_campaign_metrics
from campaign_pipeline.analytics.run_figures import RunFigures
from campaign_pipeline.analytics.schemas import DELIVERY_EVENTS
from campaign_pipeline.analytics.table_schemas import (
    CONTENT_PERFORMANCE,
    DELIVERABILITY,
    DELIVERY_ERRORS,
    FUNNEL,
    LINK_PERFORMANCE,
    REPLIES,
    RESPONSE_TIMES,
    STAGE_TIMES,
    SYSTEM_METRICS,
)
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.rates import Prices

RUN = "spring--20260302t090000z"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def figures(run: Any, new_event: Any) -> RunFigures:
    """Twelve of a and two of b, all accepted but m11; m10 bounces hard, m9 soft, m12 fails."""
    run.freeze([("planned", "", "a")] * 12 + [("planned", "", "b")] * 2)
    run.ledger(["accepted"] * 11 + ["rejected"] + ["accepted"] * 2)
    shop = "https://shop.example/sale?who=ada@example.com#x"
    events = [
        *(new_event(f"m{number}", "delivered", 1) for number in range(10)),
        new_event("m9", "undelivered", 5, reason="soft:4.2.2"),
        new_event("m10", "undelivered", 1, reason="hard:5.1.1"),
        new_event("m12", "failed", 1, reason="carrier:30003"),
        new_event("m13", "delivered", -1),
        new_event("m0", "opened", 2),
        new_event("m1", "opened", 62),
        new_event("m2", "opened", 2, machine=True),
        new_event("m0", "clicked", 3, url=shop),
        new_event("m0", "clicked", 4, url=shop),
        new_event("m1", "clicked", 63, url="https://shop.example/sale"),
        new_event("m1", "clicked", 64, url="https://u:p@shop.example/of/ada%40example.com/x"),
        new_event("m2", "clicked", 2, url=shop, machine=True),
        new_event("m0", "replied", 30, raw_type="inbound"),
        new_event("m0", "replied", 31, raw_type="inbound", reason="help"),
        new_event("m1", "unsubscribed", 70, raw_type="inbound", reason="stop"),
        new_event("m2", "unsubscribed", 70, raw_type="group_unsubscribe"),
    ]
    run.events(events)
    return RunFigures(RUN, run.facts(), pl.DataFrame(events, schema=DELIVERY_EVENTS))


def test_bounces_are_told_by_class_and_machines_apart(figures: RunFigures) -> None:
    row = build_campaign_metrics(figures.facts).row(by_predicate=pl.col("variant") == "a", named=True)
    counts = ("bounced", "hard_bounced", "soft_bounced", "other_bounced", "machine_opens", "machine_clicks", "clicks")
    assert [row[name] for name in counts] == [2, 1, 1, 0, 1, 1, 4]
    assert (row["bounce_rate"], row["bounce_rate_low"]) == (2 / 11, pytest.approx(0.0514, abs=1e-4))
    assert row["bounce_rate_high"] == pytest.approx(0.4770, abs=1e-4)


def test_errors_have_the_class_and_code_of_what_happened(figures: RunFigures) -> None:
    errors = figures.delivery_errors()
    assert dict(errors.schema) == DELIVERY_ERRORS
    assert errors.select("error_class", "error_code", "messages", "of_planned").rows() == [
        ("carrier", "30003", 1, 1 / 14),
        ("hard", "5.1.1", 1, 1 / 14),
        ("rejected", "", 1, 1 / 14),
        ("soft", "4.2.2", 1, 1 / 14),
    ]


def test_a_funnel_has_a_row_a_stage(figures: RunFigures) -> None:
    funnel = figures.funnel(build_campaign_metrics(figures.facts))
    assert dict(funnel.schema) == FUNNEL
    assert funnel.filter(variant="a").select("stage", "contacts", "of_planned", "of_previous").rows() == [
        ("planned", 12, 1.0, None),
        ("accepted", 11, 11 / 12, 11 / 12),
        ("delivered", 9, 9 / 12, 9 / 11),
        ("read", 0, 0.0, 0.0),
        ("opened", 2, 2 / 12, 2 / 9),
        ("clicked", 2, 2 / 12, 1.0),
        ("replied", 1, 1 / 12, 0.5),
        ("converted", None, None, None),
    ]


def test_responses_are_timed_from_the_acceptance(figures: RunFigures) -> None:
    times = figures.response_times()
    assert dict(times.schema) == RESPONSE_TIMES
    opened = times.row(by_predicate=(pl.col("variant") == "a") & (pl.col("response") == "opened"), named=True)
    assert (opened["contacts"], opened["median"], opened["p10"]) == (2, 32 * 60, pytest.approx((2 + 6) * 60))
    assert [opened[f"within_{span}"] for span in ("5m", "1h", "6h", "24h", "72h")] == [1, 1, 2, 2, 2]
    early = times.row(by_predicate=(pl.col("variant") == "b") & (pl.col("response") == "delivered"), named=True)
    assert early["median"] == 0  # by a clock that is ahead of ours
    assert "read" not in times["response"].to_list()


def test_replies_are_counted_by_the_class_of_their_keyword(figures: RunFigures) -> None:
    replies = figures.replies()
    assert dict(replies.schema) == REPLIES
    assert replies.select("variant", "keyword", "replies", "contacts").rows() == [
        ("a", "help", 1, 1),
        ("a", "other", 1, 1),
        ("a", "stop", 1, 1),
    ]


def test_links_are_told_without_what_may_name_a_person(figures: RunFigures) -> None:
    links = figures.link_performance()
    assert dict(links.schema) == LINK_PERFORMANCE
    assert links.select("url", "clickers", "clicks", "machine_clicks", "click_rate", "share").rows() == [
        ("https://shop.example/sale", 2, 3, 1, 2 / 9, 0.75),
        ("shop.example", 1, 1, 0, 1 / 9, 0.25),
    ]


def test_content_is_told_by_template_and_language(figures: RunFigures) -> None:
    content = figures.content_performance({0: {"a": "sober", "b": "bright"}})
    assert dict(content.schema) == CONTENT_PERFORMANCE
    assert content.select("template", "locale", "messages", "delivered", "clicked", "click_to_open").rows() == [
        ("bright", "en", 2, 1, 0, None),
        ("sober", "en", 11, 9, 2, 1.0),
    ]
    unknown = figures.content_performance({0: {"a": "sober"}})
    assert unknown.filter(pl.col("template").is_null()).select("variant", "messages").rows() == [("b", 2)]


def test_deliverability_names_no_domain_with_few_recipients(run: Any, figures: RunFigures) -> None:
    deliverability = figures.deliverability()
    assert dict(deliverability.schema) == DELIVERABILITY
    counts = ("recipient_domain", "accepted", "delivered", "bounced", "hard_bounced", "soft_bounced", "failed_later")
    assert deliverability.select(counts).rows() == [("example.com", 13, 10, 2, 1, 1, 1)]
    messages = run.lake.read("messages", RUN)
    own = pl.when(pl.col("message_no") < 4).then(pl.lit("Ada@Tiny.example")).otherwise("address")
    run.lake.write(messages.with_columns(address=own), "messages", RUN)
    assert run.facts().group_by("recipient_domain").len().sort("recipient_domain").rows() == [
        ("example.com", 10),
        ("other", 4),
    ]


def test_a_message_that_was_accepted_has_its_price(run: Any) -> None:
    run.freeze([("planned", "", "a")] * 4)
    run.ledger(["accepted", "rejected", "accepted", "accepted"])
    messages = run.lake.read("messages", RUN).with_columns(
        channel=pl.Series(["email", "email", "sms", "sms"]),
        address=pl.Series(["a@x.test", "b@x.test", "+4366012345", "+12125550147"]),
        sms_parts=pl.Series([None, None, 3, 1], dtype=pl.Int16),
        step=pl.lit(0, pl.Int16),
    )
    run.lake.write(messages, "messages", RUN)
    prices = Prices({Channel.SMS: {"+43": Decimal("0.07"), "+4": Decimal("0.5")}}, email=0.001)
    facts = build_message_facts(run.lake, RUN, run.states, channel="email", prices=prices)
    assert facts["cost"].to_list() == [0.001, None, pytest.approx(0.21), None]
    metrics = build_campaign_metrics(facts)
    assert metrics.select("channel", "cost").rows() == [("email", 0.001), ("sms", 0.21)]
    assert build_campaign_metrics(run.facts())["cost"].to_list() == [None, None]  # nothing is known


def test_stages_have_times_and_throughput(figures: RunFigures) -> None:
    times = pl.DataFrame(
        [
            ("audience", START - timedelta(seconds=20), START - timedelta(seconds=10), 1000),
            ("dispatch", START, START, 13),
            ("messages", START, None, 0),
        ],
        schema=STAGE_TIMES,
        orient="row",
    )
    metrics = figures.system_metrics(times, "spring", "email")
    assert dict(metrics.schema) == SYSTEM_METRICS
    assert metrics.select("stage", "seconds", "items", "per_second", "cost").rows() == [
        ("events", 72 * 60, 26, 26 / (72 * 60), None),  # from a clock that is ahead to the arrival of the last
        ("audience", 10.0, 1000, 100.0, None),
        ("delivery", 60.0, 11, 11 / 60, None),
        ("dispatch", 0.0, 13, None, None),
    ]
