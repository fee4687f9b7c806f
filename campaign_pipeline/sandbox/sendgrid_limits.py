"""What SendGrid takes at most (Mail Send limitations of its documentation)."""

import re

ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"\\]+@[^\s@<>()\[\],;:\"\\]+\.[^\s@<>()\[\],;:\"\\]+")
MAX_ADDRESS = 320
MAX_PERSONALIZATIONS = 1000
MAX_BYTES = 10_000  # of one personalization's substitutions, and of its custom_args
MAX_CATEGORIES = 10
MAX_AHEAD = 72 * 3600
RESERVED_HEADERS = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)
