"""`campaigns doubts`: what it shows, what it asks, and what it writes down."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.core.settings import load_settings
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.operations import doubts, sending
from campaign_pipeline.operations.sending import settle_run
from tests.doubtful import Doubtful, Provider

Campaigns = Callable[..., Any]


@pytest.fixture
def doubtful(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doubtful]:
    """A completed run with messages 1 and 2 in doubt."""
    provider = Provider({1: Kind.DELIVERY_UNKNOWN, 2: Kind.NO_ANSWER})
    provider.capabilities = provider.capabilities.__class__(max_batch=1000)
    for module in (doubts, sending):
        monkeypatch.setattr(module, "open_channel", lambda _name, _settings, **_: provider)
    begun = Doubtful.begin(load_settings(), provider)
    begun.send()
    settle_run(begun.installation, begun.run_id)
    yield begun
    begun.installation.engine.dispose()


def test_doubts_are_shown_by_ids(campaigns: Campaigns, doubtful: Doubtful) -> None:
    shown = campaigns("doubts", "spring-sale")
    assert shown.code == 0
    assert f"{doubtful.run_id}  completed, on_doubt: never_duplicate" in shown.out
    assert "now: 2 in doubt since less than an hour" in shown.out
    assert "so far: none resolved" in shown.out
    for number, code in ((1, "delivery_unknown"), (2, "no_answer")):
        (line,) = [line for line in shown.out.splitlines() if doubtful.message(number) in line]
        assert f"{number + 4096:024x}" in line
        assert code in line
        assert "cannot be asked" in line
        assert "left unknown" in line
    assert "example.com" not in shown.out
    assert campaigns("doubts", "list", "spring-sale").out == shown.out


def test_doubts_are_told_to_machines(campaigns: Campaigns, doubtful: Doubtful) -> None:
    (told,) = campaigns("doubts", "spring-sale", "--run", doubtful.run_id, "--json").json
    assert (told["run"], told["on_doubt"]) == (doubtful.run_id, "never_duplicate")
    assert told["by_age"] == {"in doubt since less than an hour": 2}
    assert told["resolved"] == {}
    assert [row["message"] for row in told["doubts"]] == [doubtful.message(1), doubtful.message(2)]
    assert [row["code"] for row in told["doubts"]] == ["delivery_unknown", "no_answer"]
    assert {row["provider"] for row in told["doubts"]} == {"sendgrid"}


def test_a_person_is_asked_before_it_is_written_down(
    campaigns: Campaigns, doubtful: Doubtful, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = iter([False, True])

    def confirm(question: str) -> bool:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("typer.confirm", confirm)
    say = ("doubts", "resolve", "spring-sale", doubtful.message(1), "--as", "not_sent", "--reason", "the log is empty")
    refused = campaigns(*say)
    assert (refused.code, "nothing was written down" in refused.err) == (4, True)
    assert asked == [
        "1 message: not_sent. Each may be sent again at once; whoever has got it after all gets it twice."
        " Write that down?"
    ]
    assert doubtful.messages() == {"accepted": 2, "in_doubt": 2}
    done = campaigns(*say)
    assert done.code == 0
    assert f"1 message of {doubtful.run_id}: not_sent. Each may be sent again at once" in done.out
    assert doubtful.messages() == {"accepted": 2, "in_doubt": 1, "not_sent": 1}
    assert campaigns(*say, "--yes", "--json").json == {"as": "not_sent", "changed": {doubtful.run_id: 0}}
    (told,) = campaigns("doubts", "spring-sale", "--json").json
    assert told["resolved"] == {"resolved by a person": 1}


def test_machines_say_yes_and_verdicts_are_three(campaigns: Campaigns, doubtful: Doubtful) -> None:
    say = ("doubts", "resolve", "spring-sale", doubtful.message(1), "--reason", "seen", "--json")
    unasked = campaigns(*say, "--as", "accepted")
    assert unasked.json["error"]["hint"] == "With --json, say so with --yes."
    wrong = campaigns(*say, "--as", "suppressed", "--yes")
    assert (wrong.code, wrong.json["error"]["hint"]) == (2, "Say accepted, rejected, not_sent.")
    said = campaigns(*say, "--as", "accepted", "--yes", "--all-of-batch")
    assert said.json == {"as": "accepted", "changed": {doubtful.run_id: 1}}
    again = campaigns(*say, "--as", "rejected", "--yes")
    assert (again.code, again.json["error"]["type"]) == (4, "Refused")
    assert again.json["error"]["message"].endswith("is not in doubt: a person says that it is accepted")


def test_without_doubts_it_says_so(campaigns: Campaigns, doubtful: Doubtful) -> None:
    assert campaigns("doubts", "gone").code == 3
    doubtful.provider.answers = {}
    for number in (1, 2):
        options = ("--as", "rejected", "--reason", "seen", "--yes")
        campaigns("doubts", "resolve", "spring-sale", doubtful.message(number), *options)
    shown = campaigns("doubts", "spring-sale")
    assert "now: no doubt" in shown.out
    assert "so far: 2 resolved by a person" in shown.out
