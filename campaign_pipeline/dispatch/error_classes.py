"""Errors by class: why messages were not accepted, counted by outcome and code, in words for operators.

Never the provider's own text, which may hold addresses: a code says as much, and its words are ours.
"""

from http import HTTPStatus
from typing import NamedTuple

import polars as pl

from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.channels import sendgrid_codes, twilio_codes
from campaign_pipeline.dispatch.outcomes import VERDICTS, Kind
from campaign_pipeline.dispatch.states import IN_FLIGHT, PLANNED, STANDBY

NO_ERRORS = frozenset({PLANNED, STANDBY, IN_FLIGHT, Outcome.ACCEPTED.value, Outcome.NOT_NEEDED.value})
"""States that say nothing against a message; plain strings, as polars makes enums of enum members."""

OWN_CODES = {
    "no_result": "the channel gave no result",
    "ceiling": "the day's ceiling was reached",
    "breaker_try": "held back while a few try whether it works again",
    "country_held": "its country is halted",
    "suppressed": "suppressed, or consent withdrawn, since the audience was frozen",
    "never_lose": "in doubt, and to be sent once more by the campaign's policy",
    "frequency_cap": "the contact got as many messages lately as the team allows",
}
"""Codes of our own rules that are not called as a Kind is."""

OUTCOMES = {
    Outcome.REJECTED: "refused",
    Outcome.NOT_SENT: "did not leave, to be tried again",
    Outcome.THROTTLED: "later, to be tried again",
    Outcome.IN_DOUBT: "nobody knows whether it arrived",
    Outcome.SUPPRESSED: "not to be sent to",
    Outcome.EXPIRED: "its deadline passed",
    Outcome.CANCELLED: "the run was cancelled",
    Outcome.UNKNOWN: "a doubt that was given up",
}
"""What an outcome says where its code says nothing."""


class ErrorClass(NamedTuple):
    outcome: str  # words.Outcome
    code: str  # the provider's, or ours; "" of a claim of which nothing was heard any more
    says: str
    messages: int


def errors_by_class(where: pl.DataFrame) -> tuple[ErrorClass, ...]:
    """Classes of messages that were not accepted, the largest first; `where`: columns state, code, a row a message."""
    counted = (
        where.filter(~pl.col("state").is_in(list(NO_ERRORS)))
        .group_by("state", "code")
        .len()
        .sort("len", "state", "code", descending=[True, False, False])
    )
    return tuple(ErrorClass(state, code, says(Outcome(state), code), n) for state, code, n in counted.iter_rows())


def says(outcome: Outcome, code: str) -> str:
    """What outcome and code say together, in words."""
    if code.startswith("after:"):  # a fallback that was called up
        return "called up as a fallback, to be sent"
    if code in OWN_CODES:
        return OWN_CODES[code]
    if code.startswith("http_") and code[5:].isdecimal():
        return _http(outcome, int(code[5:]))
    kind = _kind(code) if code != outcome else None  # by its own name an outcome is our policy, not an answer
    return VERDICTS[kind].says if kind else OUTCOMES.get(outcome, outcome.value)


def _kind(code: str) -> Kind | None:
    if code.isascii() and code.isdecimal():
        return twilio_codes.CODES.get(int(code))
    return Kind(code) if code in set(Kind) else None


def _http(outcome: Outcome, status: int) -> str:
    """Providers mean different things by a status: the outcome says whether the usual meaning was meant."""
    usual = VERDICTS[sendgrid_codes.kind_of(status)]
    if usual.outcome == outcome:
        return usual.says
    name = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
    return f"answered {status}: {name}"
