"""Erasing a contact everywhere. Broken off at any moment and begun again, it completes.

The order keeps what must never happen from happening: first the keyed hash of every address is suppressed, so that from
then on nothing is sent there, whatever else is still to be erased; then the record, without personal data; then lake
and files, for which the rows of the database are still needed; then these rows; then what lies in free pages.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.analytics.warehouse import rebuild_warehouse
from campaign_pipeline.campaigns.life_cycle import ENDED
from campaign_pipeline.contacts.suppression import suppress_erased
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Refused
from campaign_pipeline.core.tables import plans, runs, state_changes
from campaign_pipeline.core.words import Channel, Outcome, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.ledger import OutcomeRow, Source
from campaign_pipeline.dispatch.states import IN_FLIGHT, OPEN, in_flight, states
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.privacy import inbox, journal, rejects
from campaign_pipeline.operations.privacy.export import require_person
from campaign_pipeline.operations.privacy.journal import Journal
from campaign_pipeline.operations.privacy.leftovers import remove_free_pages
from campaign_pipeline.operations.privacy.person import Person, find_person
from campaign_pipeline.operations.privacy.stores import ASSETS, TABLES
from campaign_pipeline.segments.event_store import drop_features


@dataclass(frozen=True)
class Erased:
    """What was erased: rows or lines by store. `erasure` names it in the record (state_changes)."""

    contact_id: str
    erasure: str
    stores: dict[str, int]
    resumed: bool


def erase_contact(installation: Installation, identifier: str, *, actor: str) -> Erased:
    """Erase the contact with this id or external id from every store.

    What stays is a keyed hash of each address, suppressed on every channel, and a record of the erasure that names
    nobody. NotFound if nothing is held. Refused while a message to the contact may be on its way, or a run is being
    prepared that may hold it; the addresses are suppressed all the same.
    """
    person = find_person(installation, identifier)
    resumed = journal.is_begun(installation, person)
    if not resumed:
        require_person(installation, identifier)
    now = installation.clock()
    under_way = journal.begin(installation, person, now)
    with writing(installation.engine) as connection:
        _suppress(connection, installation, under_way.person, now)
        if not resumed:
            _record(connection, under_way, "requested", actor, now, "a contact is to be erased")
    _require_rest(installation, under_way.person, now)
    counts = Counter[str]()
    _erase_files(installation, under_way, counts)
    with writing(installation.engine) as connection:
        _erase_rows(connection, installation, under_way.person, counts)
    _erase_files(installation, under_way, counts)  # what was written meanwhile
    counts["lake segment_features"] += drop_features(installation.lake)
    if installation.settings.warehouse_path.exists():
        rebuild_warehouse(installation.settings, installation.lake)
    remove_free_pages(installation.engine, [table.name for table in TABLES])
    with writing(installation.engine) as connection:
        done = ", ".join(f"{store}: {count}" for store, count in sorted(counts.items()) if count)
        _record(connection, under_way, "erased", actor, installation.clock(), done)
    under_way.end()
    return Erased(person.contact_id, under_way.erasure, {name: n for name, n in counts.items() if n}, resumed)


def _suppress(connection: sa.Connection, installation: Installation, person: Person, now: datetime) -> None:
    """Also a second time, at the end: a new entry makes workers look again at whom they must not write to."""
    addresses = [(Channel.EMAIL if "@" in address else Channel.SMS, address) for address in sorted(person.compared)]
    if person.external_id:
        addresses.append((Channel.WEBHOOK, person.external_id))
    suppress_erased(connection, addresses, installation.settings.link_secret, now)


def _record(connection: sa.Connection, under_way: Journal, state: str, actor: str, now: datetime, reason: str) -> None:
    entry = {"subject": f"erasure:{under_way.erasure}", "from_state": "", "to_state": state, "actor": actor}
    connection.execute(sa.insert(state_changes), entry | {"reason": reason, "changed_at": now})


# ---- what is under way --------------------------------------------------------------------------------------------


def _require_rest(installation: Installation, person: Person, now: datetime) -> None:
    """Refused while something under way could still send to the contact, or write it down once more."""
    suppressed = "The address is suppressed already: nothing new is sent to it."  # whichever way it ends here
    with reading(installation.engine) as connection:
        planned = set(connection.execute(sa.select(plans.c.run_id)).scalars())
        running = set(connection.execute(sa.select(runs.c.run_id).where(runs.c.state == RunState.RUNNING)).scalars())
    if preparing := sorted(running - planned):
        raise Refused(
            f"{preparing[0]} is being prepared, and may be about to hold this contact",
            f"{suppressed} Erase again when the run is planned, or was cancelled.",
        )
    for run_id, row in _message_states(installation, person, now):
        if row["state"] == IN_FLIGHT or (row["state"] in OPEN and run_id in running):
            raise Refused(
                f"{run_id} is being sent, and has a message for this contact that is not done",
                f"{suppressed} Erase again in some minutes, or pause the campaign first.",
            )


def _message_states(installation: Installation, person: Person, now: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """(run id, the row of states) of each message of the contact in a run that was planned."""
    with reading(installation.engine) as connection:
        planned = set(connection.execute(sa.select(plans.c.run_id)).scalars())
    for run_id, numbers in sorted(person.numbers.items()):
        if run_id not in planned:
            continue
        with reading(installation.engine) as connection:
            held = ledger.read_ledger(connection, run_id)
        settling = timedelta(seconds=installation.settings.settling_seconds)
        where = in_flight(states(BatchFile(installation.lake, run_id).index(), held), held.claims, now, settling)
        for row in where.filter(pl.col("message_no").is_in(sorted(numbers))).iter_rows(named=True):
            yield run_id, row


# ---- lake and files -----------------------------------------------------------------------------------------------


def _erase_files(installation: Installation, under_way: Journal, counts: Counter[str]) -> None:
    lake, person = installation.lake, under_way.person
    unplanned = _to_be_frozen_anew(installation)
    for asset in ASSETS:
        for partition, rows in asset.find(lake, person):
            counts[f"lake {asset.name}"] += rows.height
            if asset.name in FROZEN and partition in unplanned:
                for name in FROZEN:
                    lake.path(name, partition).unlink(missing_ok=True)
                continue
            if asset.name == "messages":
                under_way.touch([partition])
            asset.erase(lake, partition, person, under_way.pseudonyms)
    _plan_again(installation, under_way)
    counts["inbox"] += inbox.erase(installation.settings.inbox_dir, person)
    counts["rejects"] += rejects.erase(rejects.folder(installation), person)


FROZEN = ("segment_members", "messages", "skeletons", "audience")
"""What a run that was not planned makes anew: there, the partition goes as a whole."""


def _to_be_frozen_anew(installation: Installation) -> set[str]:
    query = sa.select(runs.c.run_id).where(
        runs.c.run_id.not_in(sa.select(plans.c.run_id)), runs.c.state.not_in([state.value for state in ENDED])
    )
    with reading(installation.engine) as connection:
        return set(connection.execute(query).scalars())


def _plan_again(installation: Installation, under_way: Journal) -> None:
    """Let the plan of each run whose messages were replaced name the file that is there now."""
    for run_id in sorted(under_way.touched):
        content = BatchFile(installation.lake, run_id).content_hash()
        with writing(installation.engine) as connection:
            connection.execute(sa.update(plans).where(plans.c.run_id == run_id).values(content_hash=content))


# ---- rows ---------------------------------------------------------------------------------------------------------


def _erase_rows(connection: sa.Connection, installation: Installation, person: Person, counts: Counter[str]) -> None:
    now = installation.clock()
    _give_up_doubts(connection, installation, person, now)
    for table in TABLES:
        counts[f"table {table.name}"] += table.erase(connection, person)
    _suppress(connection, installation, person, now)


def _give_up_doubts(connection: sa.Connection, installation: Installation, person: Person, now: datetime) -> None:
    """Whether these messages went out can be asked of nobody any more: the address to ask for is gone."""
    rows = [
        OutcomeRow(run_id, row["message_no"], row["attempt"], Source.POLICY, Outcome.UNKNOWN, "erased", "", now)
        for run_id, row in _message_states(installation, person, now)
        if row["state"] == Outcome.IN_DOUBT
    ]
    ledger.append(connection, rows)
