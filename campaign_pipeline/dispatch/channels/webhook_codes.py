"""What a receiver of webhooks answers, as kinds: HTTP statuses in their own meaning (RFC 9110)."""

from campaign_pipeline.dispatch.outcomes import Kind

STATUSES: dict[int, Kind] = {
    400: Kind.CONTENT,
    401: Kind.CONFIG,
    403: Kind.CONFIG,
    404: Kind.CONFIG,
    405: Kind.CONFIG,
    408: Kind.NO_ANSWER,
    409: Kind.NO_ANSWER,  # a request with this key is under way
    410: Kind.CONFIG,  # Standard Webhooks: the receiver wants nothing more
    413: Kind.TOO_LARGE,
    415: Kind.CONTENT,
    422: Kind.CONTENT,
    425: Kind.THROTTLED,
    429: Kind.THROTTLED,
}


def kind_of(status: int) -> Kind:
    """The kind of an answer to a whole request; an unknown 4xx refuses it for good, all else is a doubt."""
    if 200 <= status < 300:
        return Kind.ACCEPTED
    return STATUSES.get(status, Kind.UNKNOWN if 400 <= status < 500 else Kind.NO_ANSWER)
