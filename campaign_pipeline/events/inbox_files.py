"""Putting whole files of lines into the inbox: for commands, beside the receiver, which appends (inbox.py)."""

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from uuid import uuid4


def add_file(folder: Path, kind: str, lines: Iterable[bytes], at: datetime) -> Path:
    """A new file of the inbox with these lines, durable; readers see all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{at:%Y%m%dt%H%M%S}-{uuid4().hex[:12]}.jsonl"
    write_durably(path, lines)
    return path


def write_durably(path: Path, lines: Iterable[bytes]) -> None:
    """Write or replace the file whole: it and its name are on disk before this returns. Readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # personal data
    with os.fdopen(handle, "wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
