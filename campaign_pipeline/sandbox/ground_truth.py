"""The ground truth: one line for every physical send, the oracle for "never twice, never lost".

`{data_dir}/sandbox/sends.jsonl`, appended before the answer leaves, by plain write(2): once it returned, the
lines survive a kill -9 of the sandbox (not a power cut). A kill in the middle of the write leaves a torn line: what it
stood for had not left, nobody was told that it had, and it is passed over. Columns: SENDS.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict

import orjson
import polars as pl

FILE = "sends.jsonl"
SENDS: dict[str, Any] = {
    "at": pl.String,  # ISO, UTC, sandbox clock
    "provider": pl.String,  # twilio | sendgrid | smtp | webhook
    "channel": pl.String,  # words.Channel
    "message_id": pl.String,  # ours; null when the request carried none
    "run_id": pl.String,
    "attempt": pl.Int64,
    "sid": pl.String,  # what names it: Twilio's SID, SendGrid's X-Message-Id, queue id, webhook-id
    "to_hash": pl.String,  # address_hash of the recipient
    "body_hash": pl.String,  # email_hash, text_hash or content_hash; null without hash_bodies
}


class Send(TypedDict):
    """One physical send: the columns of SENDS, in their order."""

    at: str
    provider: str
    channel: str
    message_id: str | None
    run_id: str | None
    attempt: int | None
    sid: str
    to_hash: str
    body_hash: str | None


def line(send: Send) -> bytes:
    return orjson.dumps(send, option=orjson.OPT_APPEND_NEWLINE)


def address_hash(address: str) -> str:
    """Of an e-mail address, E.164 number (without `whatsapp:`) or external id as it stood in the request."""
    return text_hash(address)


def email_hash(subject: str, contents: Iterable[str]) -> str:
    """Of the subject and the content values in the request's order (text/plain, text/html), joined by NUL."""
    return text_hash("\0".join((subject, *contents)))


def text_hash(body: str) -> str:
    """Of a text as the recipient reads it: the first 24 hex digits of its SHA-256."""
    return sha256(body.encode()).hexdigest()[:24]


def content_hash(content_sid: str, variables: dict[str, str]) -> str:
    """Of a WhatsApp template that the sandbox does not know: its SID, then name and value of each variable by name."""
    return text_hash("\0".join((content_sid, *(text for item in sorted(variables.items()) for text in item))))


def as_attempt(text: object) -> int | None:
    return int(text) if isinstance(text, (str, int)) and str(text).isdecimal() else None


@dataclass(frozen=True)
class Duplicate:
    message_id: str
    sends: int


class GroundTruth:
    """The file, open for appending."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._file = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.ftruncate(self._file, len(_whole_lines(self.path)))  # the next line must not continue a torn one

    def append(self, lines: bytes) -> None:
        """Whole lines; when this returns, they are the operating system's."""
        view = memoryview(lines)
        while view:
            view = view[os.write(self._file, view) :]

    def clear(self) -> None:
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        os.close(self._file)


def read_sends(folder: Path) -> pl.DataFrame:
    """All sends of the sandbox under `folder` ({data_dir}/sandbox), columns SENDS, in the order they happened."""
    path = folder / FILE
    lines = _whole_lines(path) if path.exists() else b""
    return pl.read_ndjson(lines, schema=SENDS) if lines else pl.DataFrame(schema=SENDS)


def _whole_lines(path: Path) -> bytes:
    """The file without a line that was torn, or that is being written at this moment."""
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def duplicates(sends: pl.DataFrame) -> list[Duplicate]:
    """Messages that were physically sent more than once, most often first."""
    counts = (
        sends.filter(pl.col("message_id").is_not_null())
        .group_by("message_id")
        .len("sends")
        .filter(pl.col("sends") > 1)
        .sort(["sends", "message_id"], descending=[True, False])
    )
    return [Duplicate(*row) for row in counts.iter_rows()]
