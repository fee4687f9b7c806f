"""Errors by class: what is counted, and in which words."""

import polars as pl
import pytest

from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.error_classes import ErrorClass, errors_by_class, says


def test_what_was_not_accepted_is_counted_by_outcome_and_code() -> None:
    states = [("accepted", "")] * 5 + [("planned", ""), ("standby", ""), ("in_flight", ""), ("not_needed", "delivered")]
    states += [("rejected", "21610")] * 3 + [("rejected", "30007")] + [("throttled", "http_429")] * 2
    where = pl.DataFrame(states, schema=["state", "code"], orient="row")
    assert errors_by_class(where) == (
        ErrorClass("rejected", "21610", "the contact has opted out", 3),
        ErrorClass("throttled", "http_429", "too many requests", 2),
        ErrorClass("rejected", "30007", "filtered as unwanted", 1),
    )


def test_where_all_is_well_there_is_no_error() -> None:
    assert errors_by_class(pl.DataFrame([("accepted", "")], schema=["state", "code"], orient="row")) == ()


@pytest.mark.parametrize(
    ("outcome", "code", "expected"),
    [
        (Outcome.IN_DOUBT, "no_answer", "no readable answer"),
        (Outcome.NOT_SENT, "not_connected", "the provider cannot be reached"),
        (Outcome.NOT_SENT, "ceiling", "the day's ceiling was reached"),
        (Outcome.NOT_SENT, "never_lose", "in doubt, and to be sent once more by the campaign's policy"),
        (Outcome.NOT_SENT, "after:63024", "called up as a fallback, to be sent"),
        (Outcome.NOT_SENT, "http_401", "credentials, sender or account are refused"),
        (Outcome.NOT_SENT, "http_400", "the content or the request is refused"),
        # The same status, of one message or of another provider: not what it usually means.
        (Outcome.REJECTED, "http_400", "answered 400: Bad Request"),
        (Outcome.REJECTED, "http_499", "refused for a reason that is not known here"),
        (Outcome.ACCEPTED, "http_299", "answered 299: unknown status"),
        (Outcome.SUPPRESSED, "frequency_cap", "the contact got as many messages lately as the team allows"),
        (Outcome.EXPIRED, "quiet_hours", "quiet hours at the recipient's place"),
        (Outcome.EXPIRED, "30036", "it lay in the provider's queue for too long"),
        (Outcome.EXPIRED, "expired", "its deadline passed"),
        (Outcome.REJECTED, "98765", "refused"),
        (Outcome.IN_DOUBT, "", "nobody knows whether it arrived"),
    ],
)
def test_codes_in_words(outcome: Outcome, code: str, expected: str) -> None:
    assert says(outcome, code) == expected
