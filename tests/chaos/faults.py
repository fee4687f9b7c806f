"""What the provider does to requests at random, in a storm."""

from typing import Literal

from campaign_pipeline.sandbox.faults import Fault, FaultKind

EACH = 0.01
"""Share of requests that meet each kind of fault."""

KINDS = (
    FaultKind.REFUSE_BEFORE_ACCEPT,
    FaultKind.ACCEPT_THEN_DROP,
    FaultKind.TRUNCATED_BODY,
    FaultKind.MALFORMED,
    FaultKind.THROTTLE_429,
    FaultKind.ERROR_500_THOUGH_ACCEPTED,
    FaultKind.UNAVAILABLE_503,
    FaultKind.REDIRECT_302,
)
"""All but refused credentials, which stop the channel until somebody mends them."""


def slow(provider: Literal["sendgrid", "twilio"], seconds: float) -> Fault:
    """Every answer takes so long, so that there is time to be killed in."""
    return Fault(kind=FaultKind.SLOW, provider=provider, share=1.0, seconds=seconds)


def faults(provider: Literal["sendgrid", "twilio"], seconds: float, share: float = EACH) -> list[Fault]:
    """Every kind at random, and a slow answer where there is none of them."""
    at_random = [Fault(kind=kind, provider=provider, share=share, seconds=0) for kind in KINDS]
    return [*at_random, slow(provider, seconds)]
