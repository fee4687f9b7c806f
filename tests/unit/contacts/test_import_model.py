"""Imports one after the other do what a plain dictionary does, on both databases."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.contacts.sources.files import SourceFile
from campaign_pipeline.core.tables import attributes, contacts, imports

PAIRS = ["first_name=name", "email=mail", "attributes.points=points", "attributes.tier=tier"]
EMPTY = dict.fromkeys(("first_name", "email_raw", "email"))
TYPES = {"attributes.points=points": "types.points=number", "attributes.tier=tier": "types.tier=string"}
COLUMNS = ("id", "name", "mail", "points", "tier")
NOW = datetime(2026, 3, 2, tzinfo=UTC)

cells = st.tuples(
    st.sampled_from(["1", "2", "3", ""]),
    st.sampled_from(["", "Ann", "Zoë", "O'Neil", "\\."]),
    st.sampled_from(["", "a@x.com", "A@x.com", "bad"]),
    st.sampled_from(["", "1", "1.0", "2"]),
    st.sampled_from(["", "gold", "1"]),
)
files = st.tuples(st.lists(cells, max_size=5), st.sets(st.sampled_from(PAIRS)))


def fields(row: tuple[str, ...], mapped: set[str]) -> dict[str, Any]:
    """What a row says of its contact."""
    _, name, mail, points, tier = (cell or None for cell in row)
    said: dict[str, Any] = {}
    if "first_name=name" in mapped:
        said["first_name"] = name
    if "email=mail" in mapped:
        said |= {"email_raw": mail, "email": None if mail in (None, "bad") else "a@x.com"}
    if "attributes.points=points" in mapped:
        said["points"] = None if points is None else float(points)
    if "attributes.tier=tier" in mapped:
        said["tier"] = tier
    return said


@settings(deadline=None, max_examples=40)
@given(st.lists(files, min_size=1, max_size=4))
def test_files_one_after_the_other(
    module_database: sa.Engine, tmp_path_factory: pytest.TempPathFactory, sequence: list[tuple[list[Any], set[str]]]
) -> None:
    with module_database.begin() as connection:
        for table in (contacts, imports, attributes):
            connection.execute(sa.delete(table))
    folder: Path = tmp_path_factory.mktemp("files")
    model: dict[str, dict[str, Any]] = {}
    for number, (rows, mapped) in enumerate(sequence):
        file = folder / f"{number}.csv"
        # A line of its own keeps two equal files apart.
        file.write_text("\n".join(",".join(row) for row in [COLUMNS, *rows]) + "\n" * (number + 1), "utf-8")
        pairs = ["id=id", *sorted(mapped), *sorted(TYPES[pair] for pair in mapped & TYPES.keys())]
        result = import_contacts(
            module_database,
            SourceFile(file),
            mapping_from_pairs(pairs, ContactMapping),
            clock=lambda: NOW,
            rejects_path=folder / "rejects.csv",
        )
        said = [(row[0], fields(row, mapped)) for row in rows if row[0]]
        last = dict(said)
        new = {key for key in last if key not in model}
        changed = {key for key in last if key in model and model[key] | last[key] != model[key]}
        for key, values in last.items():
            model[key] = model.get(key, EMPTY) | values
        distinct = {(key, tuple(values.items())) for key, values in said}
        counts = (result.read, result.new, result.changed, result.unchanged, result.repeated, result.rejected)
        assert counts == (
            len(rows),
            len(new),
            len(changed),
            len(last) - len(new) - len(changed),
            len(said) - len(distinct),
            len(rows) - len(said) + len(distinct) - len(last),
        )
    with module_database.connect() as connection:
        found = {row.external_id: row for row in connection.execute(sa.select(contacts))}
    assert found.keys() == model.keys()
    for key, values in model.items():
        row = found[key]
        own = {name: getattr(row, name) for name in EMPTY}
        assert own | row.attributes == values
