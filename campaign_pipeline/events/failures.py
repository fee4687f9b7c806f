"""How a delivery failed: the class that all providers share, and whether the address is sent to again."""

from campaign_pipeline.core.words import SuppressionReason
from campaign_pipeline.dispatch.channels.smtp_codes import Stage, enhanced_status, kind_of
from campaign_pipeline.dispatch.outcomes import Kind

CLASSES = {Kind.HARD_ADDRESS: "hard", Kind.SOFT: "soft"}
"""How a delivery failed, in the words that SendGrid's bounces have as well; any other kind keeps its own name."""

SUPPRESSIONS = {
    Kind.HARD_ADDRESS: SuppressionReason.HARD_BOUNCE,
    Kind.SOFT: SuppressionReason.SOFT_BOUNCE,
    Kind.OPTED_OUT: SuppressionReason.OPTED_OUT,
}

Failure = tuple[str, SuppressionReason | None]
"""(class:code, suppression). Never a reply's own text: mail servers quote the address in it."""

_SOFT = frozenset({Kind.THROTTLED, Kind.CAPACITY, Kind.BAD_RECIPIENT, Kind.UNKNOWN})
"""Given up as a bounce these say that the address is out of reach, and not that it is wrong."""


def join(kind: str, code: str) -> str:
    """class:code, or the class alone where there is no code."""
    return f"{kind}:{code}" if code else kind


def failure_of(kind: Kind, code: str) -> Failure:
    return join(CLASSES.get(kind, kind.value), code), SUPPRESSIONS.get(kind)


def of_reply(reply: int, text: str) -> Failure:
    """Of a message that was given up after an SMTP reply: its number, and the text behind it (RFC 3463's status first).

    The kinds are those of dispatch/channels/smtp_codes.py, so that a refusal means the same at once and by bounce.
    """
    kind = kind_of(Stage.RECIPIENT, reply, text)
    return failure_of(Kind.SOFT if kind in _SOFT else kind, enhanced_status(text) or (str(reply) if reply else ""))
