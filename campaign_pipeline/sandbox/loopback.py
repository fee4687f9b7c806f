"""The sandbox's one safety rule: it never posts to another machine."""

from urllib.parse import urlsplit

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import is_loopback


def is_local(url: str) -> bool:
    """Whether `url` is plain HTTP(S) to this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
    except ValueError:
        return False


def require_loopback(url: str, what: str) -> None:
    if not is_local(url):
        raise InvalidInput(f"{what} is not a loopback address", "The sandbox talks to this machine only: 127.0.0.1.")
