"""What a database keeps of deleted rows: free pages and logs."""

from collections.abc import Iterable

import sqlalchemy as sa

from campaign_pipeline.core.errors import Refused


def remove_free_pages(engine: sa.Engine, tables: Iterable[str]) -> None:
    """Leave nothing of deleted rows in the files of a SQLite database; let PostgreSQL use their space again.

    SQLite: the file is written anew and its log is emptied; Refused if another process reads it all the while.
    PostgreSQL: a plain VACUUM, which locks nobody out; docs/privacy.md says what it leaves.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"VACUUM {', '.join(tables)}")
        return
    plain = engine.raw_connection()  # VACUUM is refused within a transaction
    try:
        cursor = plain.cursor()
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (busy, *_) = cursor.fetchone() or (1,)
        cursor.close()
    finally:
        plain.close()
    if busy:
        raise Refused(
            "the database is being read, so that its log still holds erased rows",
            "Erase again when nothing else is at work: all that is left to do is to empty the log.",
        )
