"""A process that is killed in the middle of an import leaves nothing; importing again brings everything."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.tables import attributes, consents, contacts, imports

ROWS = 20_000
PAIRS = ["id=id", "email=mail", "attributes=rest", "consent.email=granted"]
DYING = """
import os, signal, sys
from pathlib import Path
from campaign_pipeline.contacts import bulk, importing
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.core.database import open_database

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

bulk.CACHE_KB = 100  # pages of the transaction go to the disk long before it ends, as those of a large file do
importing.record_import = die  # all is written, nothing is committed
importing.import_contacts(
    open_database(sys.argv[1]), Path(sys.argv[2]), mapping_from_pairs(sys.argv[3:], ContactMapping),
    clock=utc_now, rejects_path=Path(sys.argv[2] + ".rejects"),
)
"""


def test_nothing_is_half_imported_after_a_kill(engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    rows = "".join(f"{number},user{number}@example.com,{number % 7}\n" for number in range(ROWS))
    file.write_text("id,mail,points\n" + rows)
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", DYING, url, str(file), *PAIRS]
    died = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, timeout=50, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    log = Path(f"{engine.url.database}-wal")
    assert log.stat().st_size > 1_000_000  # it had written: the transaction's pages are there, and do not count

    tables = (contacts, consents, imports, attributes)
    with engine.connect() as connection:
        assert [connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in tables] == [
            0, 0, 0, 0,
        ]  # fmt: skip
    mapping = mapping_from_pairs(PAIRS, ContactMapping)
    result = import_contacts(
        engine, file, mapping, clock=lambda: datetime(2026, 3, 2, tzinfo=UTC), rejects_path=tmp_path / "rejects.csv"
    )
    assert (result.new, result.already_imported) == (ROWS, False)
    with engine.connect() as connection:
        assert [connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in tables] == [
            ROWS, ROWS, 1, 1,
        ]  # fmt: skip
