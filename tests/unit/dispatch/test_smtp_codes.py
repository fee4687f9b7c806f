"""SMTP replies as kinds: the codes of the RFCs, and the safe side for all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.core.words import RETRYABLE, Outcome
from campaign_pipeline.dispatch.channels.smtp_codes import Stage, code_of, enhanced_status, kind_of, queue_id
from campaign_pipeline.dispatch.outcomes import VERDICTS, Action, Kind

stages = st.sampled_from(Stage)
texts = st.text(max_size=40) | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3} .{0,20}", fullmatch=True)


@given(stages, st.integers(400, 599), texts)
def test_a_refusal_is_never_a_doubt_and_never_a_success(stage: Stage, code: int, text: str) -> None:
    assert VERDICTS[kind_of(stage, code, text)].outcome not in (Outcome.IN_DOUBT, Outcome.ACCEPTED)


@given(stages, st.integers(400, 499), texts)
def test_a_temporary_refusal_suppresses_nobody_and_halts_nothing(stage: Stage, code: int, text: str) -> None:
    if not text.startswith(("5.", " 5.")):
        action = VERDICTS[kind_of(stage, code, text)].action
        assert action in (Action.RETRY, Action.DEFER)


@given(stages, st.integers(-1, 999).filter(lambda code: not 400 <= code < 600), texts)
def test_only_250_for_the_whole_message_is_a_success(stage: Stage, code: int, text: str) -> None:
    expected = Kind.ACCEPTED if (stage, code) == (Stage.CONTENT, 250) else Kind.NO_ANSWER
    assert kind_of(stage, code, text) == expected


@pytest.mark.parametrize(
    ("stage", "code", "text", "kind"),
    [
        (Stage.RECIPIENT, 550, "5.1.1 no such user", Kind.HARD_ADDRESS),
        (Stage.RECIPIENT, 550, "5.1.10 null MX", Kind.HARD_ADDRESS),
        (Stage.RECIPIENT, 550, "5.1.0 rejected", Kind.BAD_RECIPIENT),
        (Stage.RECIPIENT, 550, "5.1.8 the sender's domain", Kind.CONFIG),
        (Stage.RECIPIENT, 550, "mailbox unavailable", Kind.BAD_RECIPIENT),
        (Stage.RECIPIENT, 554, "5.7.1 Relay access denied", Kind.CONFIG),
        (Stage.RECIPIENT, 550, "relaying is not allowed", Kind.CONFIG),
        (Stage.RECIPIENT, 554, "5.7.1 policy", Kind.FILTERED),
        (Stage.RECIPIENT, 550, "5.7.26 not authenticated", Kind.CONFIG),
        (Stage.RECIPIENT, 550, "5.7.999 other", Kind.FILTERED),
        (Stage.RECIPIENT, 450, "4.2.1 disabled", Kind.SOFT),
        (Stage.RECIPIENT, 452, "4.2.2 full", Kind.SOFT),
        (Stage.RECIPIENT, 451, "4.7.1 greylisted", Kind.THROTTLED),
        (Stage.RECIPIENT, 452, "too many recipients", Kind.CAPACITY),
        (Stage.RECIPIENT, 530, "5.7.0 sign in", Kind.CONFIG),
        (Stage.SENDER, 550, "5.1.1 who are you", Kind.CONFIG),
        (Stage.SENDER, 452, "4.2.2 full", Kind.THROTTLED),
        (Stage.CONNECT, 535, "5.7.8 no", Kind.CONFIG),
        (Stage.CONNECT, 421, "busy", Kind.THROTTLED),
        (Stage.CONTENT, 552, "5.3.4 too big", Kind.BODY),
        (Stage.CONTENT, 552, "too big", Kind.BODY),
        (Stage.CONTENT, 550, "spam", Kind.FILTERED),
        (Stage.CONTENT, 554, "5.6.0 malformed", Kind.BODY),
        (Stage.CONTENT, 555, "", Kind.UNKNOWN),
        (Stage.CONTENT, 421, "4.3.2 going down", Kind.CAPACITY),
    ],
)
def test_codes(stage: Stage, code: int, text: str, kind: Kind) -> None:
    assert kind_of(stage, code, text) == kind


def test_what_the_ledger_keeps_holds_no_text_of_the_server() -> None:
    assert code_of(550, "5.1.1 <ann@example.com> unknown") == "smtp_550_5.1.1"
    assert code_of(550, "<ann@example.com> 5.1.1") == "smtp_550"
    assert enhanced_status("5.1") == ""
    assert VERDICTS[Kind.THROTTLED].outcome in RETRYABLE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2.0.0 Ok: queued as 4XyZ12bCdE", "4XyZ12bCdE"),
        ("OK id=1rT2ab-0005Xy-Qz", "1rT2ab-0005Xy-Qz"),
        ("2.6.0 <x@y> [InternalId=123456, Hostname=mx] Queued mail for delivery", "123456"),
        ("2.0.0 34T9Axyz012345 Message accepted for delivery", "34T9Axyz012345"),
        ("Ok 0102018f5a6b7c8d-1234-abcd", "0102018f5a6b7c8d-1234-abcd"),
        ("OK", ""),
        ("queued for <ann@example.com>", ""),
    ],
)
def test_the_queue_id_if_the_reply_names_one(text: str, found: str) -> None:
    assert queue_id(text) == found
