"""Files as sources: what each is, by its name or by what the user says."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from campaign_pipeline.contacts.sources.delimited import read_delimited
from campaign_pipeline.contacts.sources.json_lines import read_json_lines
from campaign_pipeline.contacts.sources.parquet import read_parquet
from campaign_pipeline.contacts.sources.table import Table
from campaign_pipeline.core.errors import InvalidInput


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"  # delimited text of any kind
    JSONL = "jsonl"  # one JSON object a line
    PARQUET = "parquet"


_SUFFIXES = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".txt": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}


@dataclass(frozen=True)
class SourceFile:
    """A file; what is None follows from its name. All but `format` are of CSV only, see read_delimited."""

    path: Path
    format: Format | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    quote: str = '"'
    escape: str = ""

    ordered = True

    @property
    def name(self) -> str:
        return self.path.name

    def kind(self) -> Format:
        if self.format is not None:
            return self.format
        suffix = self.path.suffix.lower()
        if suffix not in _SUFFIXES:
            raise InvalidInput(
                f"what {self.path.name} is does not follow from its name", f"Give its format: {', '.join(Format)}."
            )
        return _SUFFIXES[suffix]

    def content(self) -> str:
        """A digest of the bytes."""
        try:
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise InvalidInput(f"{self.path} cannot be read: {error.strerror}") from None

    def settings(self) -> tuple[str, ...]:
        """How it is read, as far as that may give other rows."""
        if self.kind() is not Format.CSV:
            return (self.kind().value,)
        return (Format.CSV.value, self._delimiter(), self.encoding, self.quote, self.escape)

    def read(self) -> Table:
        match self.kind():
            case Format.CSV:
                return read_delimited(
                    self.path,
                    delimiter=self._delimiter(),
                    encoding=self.encoding,
                    quote=self.quote,
                    escape=self.escape,
                )
            case Format.JSONL:
                return read_json_lines(self.path)
            case Format.PARQUET:
                return read_parquet(self.path)

    def _delimiter(self) -> str:
        return self.delimiter or ("tab" if self.path.suffix.lower() == ".tsv" else ",")
