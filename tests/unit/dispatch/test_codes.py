"""What providers' codes mean: the safe side for whatever is not known."""

import pytest

from campaign_pipeline.core.words import RETRYABLE, Outcome
from campaign_pipeline.dispatch.channels import sendgrid_codes, twilio_codes
from campaign_pipeline.dispatch.outcomes import HALTING, SUPPRESSES, VERDICTS, Action, Kind


def test_every_kind_has_a_verdict_and_every_suppression_a_reason() -> None:
    assert set(VERDICTS) == set(Kind)
    assert set(SUPPRESSES) == {kind for kind, verdict in VERDICTS.items() if verdict.action == Action.SUPPRESS}


def test_nothing_that_may_have_been_processed_is_tried_again() -> None:
    for verdict in VERDICTS.values():
        if verdict.action in (Action.RETRY, Action.SPLIT):
            assert verdict.outcome in RETRYABLE
        if verdict.outcome == Outcome.IN_DOUBT:
            assert verdict.action == Action.RECONCILE


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, 20429, Kind.THROTTLED),
        (429, None, Kind.THROTTLED),
        (400, 21611, Kind.THROTTLED),
        (401, 20003, Kind.CONFIG),
        (403, 99999, Kind.CONFIG),
        (404, 20404, Kind.CONFIG),
        (400, 21211, Kind.HARD_ADDRESS),
        (400, 21610, Kind.OPTED_OUT),
        (400, 21617, Kind.BODY),
        (400, 63027, Kind.CONTENT),
        (400, 99999, Kind.UNKNOWN),
        (500, 20500, Kind.NO_ANSWER),
        (503, 20429, Kind.NO_ANSWER),
        (302, None, Kind.NO_ANSWER),
        (408, None, Kind.NO_ANSWER),
    ],
)
def test_twilio(status: int, code: int | None, kind: Kind) -> None:
    assert twilio_codes.kind_of(status, code) == kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (202, Kind.ACCEPTED),
        (200, Kind.NO_ANSWER),
        (302, Kind.NO_ANSWER),
        (400, Kind.CONTENT),
        (401, Kind.CONFIG),
        (403, Kind.CONFIG),
        (413, Kind.TOO_LARGE),
        (418, Kind.UNKNOWN),
        (429, Kind.THROTTLED),
        (500, Kind.NO_ANSWER),
        (504, Kind.NO_ANSWER),
    ],
)
def test_sendgrid(status: int, kind: Kind) -> None:
    assert sendgrid_codes.kind_of(status) == kind


def test_an_unknown_refusal_is_final_and_halts_nothing() -> None:
    assert VERDICTS[Kind.UNKNOWN].outcome == Outcome.REJECTED
    assert VERDICTS[Kind.UNKNOWN].action not in HALTING


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        (b'{"errors":[{"message":"m","field":"personalizations.17.to.0.email"}]}', {17}),
        (b'{"errors":[{"field":"personalizations.1.to.0.email"},{"field":"personalizations.2.to"}]}', {1, 2}),
        (b'{"errors":[{"field":"personalizations.1.to.0.email"},{"field":"from.email"}]}', set()),
        (b'{"errors":[{"field":null}]}', set()),
        (b'{"errors":[]}', set()),
        (b"[1]", set()),
        (b"<html>", set()),
        (b"", set()),
    ],
)
def test_a_400_that_blames_single_recipients_is_theirs_alone(body: bytes, blamed: set[int]) -> None:
    assert sendgrid_codes.refused_recipients(body) == blamed
