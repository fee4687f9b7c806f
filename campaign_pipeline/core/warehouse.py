"""The warehouse: one DuckDB file that analysts open read-only, built beside and swapped in whole."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import duckdb


def swap_in(path: Path, build: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
    """Build a new database with `build` and put it in place of `path` in one rename.

    Who has the old file open keeps reading it whole; who opens `path` later gets the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with duckdb.connect(str(temporary)) as connection:
            build(connection)
            connection.execute("CHECKPOINT")
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
