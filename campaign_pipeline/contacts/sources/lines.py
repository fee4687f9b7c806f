"""The physical lines of a text file, decoded strictly: what cannot be read is an error, never another character."""

import codecs
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.progress import progress_of

COMMON = ("utf-8", "utf-16", "latin-1", "cp1252")
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_TOLD_EVERY = 20_000


class Lines:
    """The file's lines with their ends; remembers how many there were and those of the record under way."""

    def __init__(self, file: Path, encoding: str, stream: TextIO, size: int) -> None:
        self.file, self.encoding, self.stream, self.size = file, encoding, stream, size
        self.number = 0
        self.record: list[str] = []
        self._told = progress_of("reading (kB)")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self.stream)
        except UnicodeError:
            raise InvalidInput(
                f"{self.file}: after line {self.number} there are bytes that are not {self.encoding}",
                f"Give the file's encoding: {', '.join(COMMON)}, or another that Python knows.",
            ) from None
        self.number += 1
        if "\0" in line:
            raise InvalidInput(
                f"{self.file}: line {self.number} holds a NUL byte",
                "The file is damaged, or it is UTF-16: then give the encoding utf-16.",
            )
        self.record.append(line)
        if self.number % _TOLD_EVERY == 0:
            self._told(self.stream.buffer.tell() // 1000, self.size // 1000)
        return line


@contextmanager
def open_lines(file: Path, encoding: str) -> Generator[Lines]:
    """The lines of `file`; InvalidInput if it cannot be opened, or starts with another encoding's byte order mark."""
    codec = _codec(encoding)
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
        mark = next((name for mark, name in _MARKS.items() if start.startswith(mark)), codec)
        if mark != codec and not codec.startswith("utf-32"):  # its mark starts as that of UTF-16 does
            raise InvalidInput(
                f"{file} starts with the byte order mark of {mark}, so it is not {encoding}",
                f"Give the encoding {mark}.",
            )
        with file.open(encoding="utf-8-sig" if codec == "utf-8" else codec, newline="") as stream:
            yield Lines(file, encoding, stream, file.stat().st_size)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None


def reads_as_utf_8(file: Path) -> bool:
    """Whether the file is UTF-8 with characters beyond ASCII: read in another encoding, all of them would be wrong."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond = False
    try:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                beyond |= not block.isascii()
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return beyond


def _codec(encoding: str) -> str:
    """Python's name of a text encoding."""
    try:
        "".encode(encoding)  # bytes.decode and open refuse codecs that are not of text, such as base64
        name = codecs.lookup(encoding).name
    except LookupError:
        raise InvalidInput(
            f"encoding {encoding!r} is not supported", f"Use {', '.join(COMMON)}, or another that Python knows."
        ) from None
    return "utf-8" if name == "utf-8-sig" else name
