"""max-mapper/csv-spectrum: the corners of CSV, each file with the rows it must give."""

import json
from pathlib import Path

import pytest

from campaign_pipeline.contacts.sources.delimited import read_delimited

NAMES = [
    "comma_in_quotes",
    "empty",
    "empty_crlf",
    "escaped_quotes",
    "json",
    "newlines",
    "newlines_crlf",
    "quotes_and_newlines",
    "simple",
    "simple_crlf",
    "utf8",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_gives_exactly_the_expected_rows(shared_data: Path, tmp_path: Path, name: str) -> None:
    folder = shared_data / "csv" / "spectrum"
    content = (folder / f"{name}.csv").read_bytes()
    if name.endswith("_crlf"):  # the collected files lost the line ends that they are named for
        content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    file = tmp_path / f"{name}.csv"
    file.write_bytes(content)
    table = read_delimited(file)
    assert table.rejects == []
    assert table.rows.select(table.columns).to_dicts() == json.loads((folder / f"{name}.json").read_text("utf-8"))


def test_every_file_of_the_spectrum_is_tried(shared_data: Path) -> None:
    assert sorted(file.stem for file in (shared_data / "csv" / "spectrum").glob("*.csv")) == NAMES
