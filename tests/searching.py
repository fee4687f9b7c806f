"""Looking for texts in everything that an installation keeps, however they are written there."""

import sqlite3
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import duckdb
import orjson
import polars as pl
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.operations.installation import Installation


def forms(needle: str) -> set[bytes]:
    """`needle` as it may be written into a file, in lower case."""
    raw = needle.lower().encode()
    spelt = (raw, needle.encode())
    shifted = {
        b64encode(b"\0" * shift + text)[4 if shift else 0 : -4]  # of the middle, whatever stands around it
        for text in spelt
        for shift in range(3)
    }
    wide = {raw.decode().encode("utf-16-le"), raw.decode().encode("utf-16-be")}
    return {raw, quote(needle, safe="").lower().encode(), *wide, *(text.lower() for text in shifted if len(text) > 8)}


def in_files(folder: Path, needles: Mapping[str, str]) -> set[str]:
    """What of `needles` is in any file, byte for byte, however it is written; and in Parquet, DuckDB and SQLite."""
    found: set[str] = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.relative_to(folder).parts[0] == "sandbox":  # plays the provider
            continue
        texts = [path.read_bytes(), path.name.encode(), *decoded(path)]
        for text in texts:
            lowered = text.lower()
            found |= {
                f"{name} in {path.relative_to(folder)}"
                for name, needle in needles.items()
                if any(form in lowered for form in forms(needle))
            }
    return found


def decoded(path: Path) -> Iterator[bytes]:
    match path.suffix:
        case ".parquet":
            yield orjson.dumps(pl.read_parquet(path, glob=False).to_dicts(), default=str)
            yield orjson.dumps(
                {key: value for key, value in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
            )
        case ".duckdb":
            with duckdb.connect(str(path), read_only=True) as connection:
                tables = connection.sql("SELECT table_name FROM information_schema.tables").fetchall()
                for (table,) in tables:
                    yield repr(connection.sql(f'SELECT * FROM "{table}"').fetchall()).encode()
        case ".db":
            with sqlite3.connect(path) as connection:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for (table,) in tables:
                    yield repr(connection.execute(f'SELECT * FROM "{table}"').fetchall()).encode()
        case _:
            return


def in_tables(engine: sa.Engine, needles: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    with reading(engine) as connection:
        for name in sa.inspect(connection).get_table_names():
            rows = repr(connection.execute(sa.text(f'SELECT * FROM "{name}"')).all()).lower()
            found |= {f"{what} in table {name}" for what, needle in needles.items() if needle.lower() in rows}
    return found


def everywhere(installation: Installation, needles: Mapping[str, str]) -> set[str]:
    return in_files(installation.settings.data_dir, needles) | in_tables(installation.engine, needles)
