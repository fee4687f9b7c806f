"""sending.yaml: rates, plans and ceilings as people write them, and the mistakes that they make."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from campaign_pipeline.campaigns.sender_policy import SenderPolicy, WarmUp, pace_of, per_second
from campaign_pipeline.campaigns.sending_policy import SendingPolicy, read_sending_policy
from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.words import Channel


def policy(**fields: Any) -> SenderPolicy:
    return SenderPolicy.model_validate(fields)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("50/s", 50.0),
        ("10 parts/s", 10.0),
        ("3000/h", 3000 / 3600),
        ("600 messages/min", 10.0),
        (" 0.5 / s ", 0.5),
        ("86400/d", 1.0),
    ],
)
def test_a_rate_is_units_a_time(text: str, units: float) -> None:
    assert per_second(text) == pytest.approx(units)
    assert policy(rate=text).rate == text


@pytest.mark.parametrize("text", ["50", 50, "0/s", "-1/s", "50/week", "fifty/s", "50 mails/s", "", "1e9/s"])
def test_what_is_no_rate_is_an_error_that_shows_one(text: object) -> None:
    with pytest.raises(ValidationError, match="is not a rate such as 50/s, 10 parts/s, 600/min or 3000/h"):
        policy(rate=text)


def test_a_warm_up_is_written_out_or_grows() -> None:
    assert WarmUp.model_validate({"daily": [50, 100, 100, 500]}).ceilings == (50, 100, 100, 500)
    growing = WarmUp.model_validate({"first": 50, "growth": 1.5, "until": 500, "start": "2026-03-02"})
    assert list(growing.ceilings) == [50, 75, 112, 168, 253, 379]
    assert growing.start == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("warm_up", "problem"),
    [
        ({}, "needs either daily"),
        ({"daily": [50], "first": 50, "growth": 2, "until": 100}, "needs either daily"),
        ({"first": 50, "growth": 2}, "first, growth and until go together"),
        ({"daily": [50, 40]}, "a day must not have less than the day before"),
        ({"daily": [0]}, "greater than or equal to 1"),
        ({"first": 50, "growth": 1, "until": 100}, "greater than 1"),
        ({"first": 1, "growth": 1.01, "until": 100000}, "takes longer than 366 days"),
    ],
)
def test_a_plan_that_is_none_is_an_error(warm_up: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        policy(warm_up=warm_up)


def test_the_ceiling_of_a_day_is_the_lower_of_plan_and_daily() -> None:
    both = policy(daily=200, warm_up={"daily": [50, 100, 400]})
    assert [both.ceiling(day) for day in (1, 2, 3, 4)] == [50, 100, 200, 200]
    assert [policy(warm_up={"daily": [50]}).ceiling(day) for day in (1, 2)] == [50, None]
    assert policy().ceiling(1) is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"burst": 5}, "burst goes with a rate"),
        ({"domains": {"Gmail.com": {"daily": 1}}}, "is not a domain in lower case"),
        ({"domains": {"gmail": {"daily": 1}}}, "is not a domain in lower case"),
        ({"domains": {"gmail.com": {}}}, "needs a rate, a daily ceiling, or both"),
        ({"timezone": "Berlin"}, "is not a time zone"),
        ({"breaker": {"filtered": 11, "of": 10}}, "can never be"),
        ({"breaker": {"pause": "2h"}}, "longest is shorter than pause"),
        ({"rates": "5/s"}, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_together_is_an_error(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        policy(**fields)


@pytest.mark.parametrize(
    ("text", "line", "field", "problem"),
    [
        ("senders:\n  sms:\n    domains: {gmail.com: {daily: 5}}\n", 3, "senders.sms.domains", "only e-mail goes to"),
        ("senders:\n  email: {rate: 5 parts/s}\n", 2, "senders.email.rate", "only SMS have parts"),
        (
            "senders:\n  email:\n    domains:\n      '*': {rate: 5 parts/s}\n",
            4,
            "senders.email.domains.*.rate",
            "only SMS",
        ),
        ("senders: {sms: {rate: 5 messages/s}}\n", 1, "senders.sms.rate", "SMS are counted in parts"),
        ("senders:\n  fax: {}\n", 2, "senders.fax", "Input should be 'email'"),
    ],
)
def test_what_does_not_fit_the_channel_is_an_error(
    tmp_path: Path, text: str, line: int, field: str, problem: str
) -> None:
    file = tmp_path / "sending.yaml"
    file.write_text(text)
    with pytest.raises(InvalidDefinition, match=problem) as raised:
        read_sending_policy(file)
    assert (raised.value.line, raised.value.field) == (line, field)


def test_an_error_names_file_line_and_field(tmp_path: Path) -> None:
    file = tmp_path / "sending.yaml"
    file.write_text("senders:\n  email:\n    burst: 500\n    rate: 50 per second\n")
    with pytest.raises(InvalidDefinition) as raised:
        read_sending_policy(file)
    assert (raised.value.line, raised.value.field) == (4, "senders.email.rate")
    assert "(it is '50 per second')" in raised.value.problem


def test_what_is_stored_reads_back_as_it_was() -> None:
    written = SendingPolicy.model_validate(
        {
            "senders": {
                "email": {
                    "rate": "50/s",
                    "warm_up": {"first": 50, "growth": 2, "until": 1000, "start": "2026-03-02"},
                    "domains": {"gmail.com": {"rate": "20/s"}, "*": {"daily": 1000}},
                },
                "sms": {"rate": "10 parts/s", "breaker": {"pause": "10m"}},
            }
        }
    )
    stored = written.model_dump(mode="json", exclude_none=True)
    assert SendingPolicy.model_validate(stored) == written
    assert stored["senders"]["email"]["rate"] == "50/s"
    assert written.sender(Channel.WHATSAPP) is None


ADDRESSES = ["ann@gmail.com", "Bob@GMAIL.com", "cy@mail.gmail.com", '"d@gmail.com"@example.com', "eve@example.com"]


@pytest.mark.parametrize(
    ("domains", "paces"),
    [
        ({}, ["", "", "", "", ""]),
        ({"gmail.com": {"daily": 5}}, ["gmail.com", "gmail.com", "", "", ""]),
        ({"gmail.com": {"daily": 5}, "*": {"daily": 9}}, ["gmail.com", "gmail.com", "*", "*", "*"]),
        ({"*": {"daily": 9}}, ["*"] * 5),
    ],
)
def test_the_pace_of_a_message_is_its_domain_if_it_has_one(domains: dict[str, Any], paces: list[str]) -> None:
    of = pace_of(policy(domains=domains))
    assert of(pl.Series("address", ADDRESSES)).to_list() == paces


def test_without_a_policy_nothing_has_a_pace() -> None:
    paces = pace_of(None)(pl.Series("address", ["+12025550100", "eve@example.com"]))
    assert (paces.to_list(), paces.name, paces.dtype) == (["", ""], "pace", pl.String)
    assert pace_of(policy(rate="5/s"))(pl.Series("address", [], dtype=pl.String)).to_list() == []
