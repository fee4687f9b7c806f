"""Faults on demand: what goes wrong with the next requests, and how it looks on the wire."""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from campaign_pipeline.sandbox.answers import Answer, sendgrid_error, twilio_error

Provider = Literal["twilio", "sendgrid", "smtp", "webhook"]


class FaultKind(StrEnum):
    """What a fault does to a request. "Accepted": the message goes out and stands in the ground truth."""

    REFUSE_BEFORE_ACCEPT = "refuse_before_accept"  # not accepted; the connection is closed without an answer
    ACCEPT_THEN_DROP = "accept_then_drop"  # accepted; the connection is closed without an answer
    TRUNCATED_BODY = "truncated_body"  # accepted; the answer ends before its Content-Length
    MALFORMED = "malformed"  # accepted; a 2xx whose body is HTML and which carries no message id
    SLOW = "slow"  # accepted at once; the answer comes after `seconds`
    THROTTLE_429 = "throttle_429"  # not accepted; 429 with the provider's headers, reset in `seconds`
    ERROR_500_THOUGH_ACCEPTED = "error_500_though_accepted"  # accepted; the answer is a 500
    UNAVAILABLE_503 = "unavailable_503"  # not accepted; the answer is a 503
    REDIRECT_302 = "redirect_302"  # not accepted; a redirect to a page that answers 200 to a GET
    UNAUTHORIZED_401 = "unauthorized_401"  # not accepted; the credentials are refused


class Fault(BaseModel):
    """One order: the next `count` requests, or a `share` of all from now on (then until it is removed)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    provider: Provider | Literal["any"] = "any"
    on: Literal["send", "any"] = Field(default="send", description="Sending only, or every request to the provider.")
    count: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    seconds: float = Field(default=5.0, ge=0, description="Of `slow` and of the reset of `throttle_429`.")

    @model_validator(mode="after")
    def _count_or_share(self) -> "Fault":
        if (self.count is None) == (self.share is None):
            raise ValueError("give either count or share")
        return self


@dataclass
class ActiveFault:
    fault: Fault
    left: int | None
    hits: int = 0


@dataclass
class Faults:
    """The faults in force, oldest first; a request meets at most one."""

    seed: int = 1
    active: list[ActiveFault] = field(default_factory=list[ActiveFault])

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311  (a rehearsal, not a secret)

    def add(self, fault: Fault) -> None:
        self.active.append(ActiveFault(fault, fault.count))

    def clear(self) -> None:
        self.active.clear()
        self._random.seed(self.seed)

    def meet(self, provider: Provider, sending: bool) -> Fault | None:
        """The fault that this request runs into, used up by one; None if it goes through."""
        for entry in self.active:
            fault = entry.fault
            if fault.provider not in (provider, "any") or (fault.on == "send" and not sending) or entry.left == 0:
                continue
            if fault.share is not None and self._random.random() >= fault.share:
                continue
            entry.hits += 1
            if entry.left is not None:
                entry.left -= 1
            return fault
        return None


REDIRECT_TARGET = "/sandbox/health"


def instead(fault: Fault, provider: Provider, now: float) -> Answer | None:
    """The answer of a fault that stands in place of accepting; None for one that comes after it."""
    match fault.kind:
        case FaultKind.THROTTLE_429 if provider != "sendgrid":
            error = twilio_error(429, 20429, "Too Many Requests")
            return Answer(429, error.body, {**error.headers, "Retry-After": str(round(fault.seconds))})
        case FaultKind.THROTTLE_429:
            error = sendgrid_error(429, "too many requests")
            reset = {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0"}
            return Answer(
                429, error.body, {**error.headers, **reset, "X-RateLimit-Reset": str(int(now + fault.seconds))}
            )
        case FaultKind.UNAVAILABLE_503:
            message = "Service is unavailable"
            return twilio_error(503, 20503, message) if provider == "twilio" else sendgrid_error(503, message)
        case FaultKind.UNAUTHORIZED_401:
            return unauthorized(provider)
        case FaultKind.REDIRECT_302:
            return Answer(302, b"", {"Location": REDIRECT_TARGET})
        case _:
            return None


def afterwards(fault: Fault, provider: Provider, answer: Answer) -> Answer:
    """What the client is told in place of `answer`, which stands."""
    match fault.kind:
        case FaultKind.ERROR_500_THOUGH_ACCEPTED:
            message = "An internal server error has occurred"
            return twilio_error(500, 20500, message) if provider == "twilio" else sendgrid_error(500, message)
        case FaultKind.MALFORMED:
            return Answer(answer.status, b"<html><body>OK</body></html>", {"Content-Type": "text/html"})
        case _:
            return answer


def unauthorized(provider: Provider) -> Answer:
    if provider == "twilio":
        return twilio_error(401, 20003, "Authenticate")
    return sendgrid_error(401, "The provided authorization grant is invalid, expired, or revoked")
