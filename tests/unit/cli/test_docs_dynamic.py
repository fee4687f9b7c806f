"""docs/templates-dynamic.md: its files are written, its commands run, and its template is applied as it stands."""

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.paths import PROJECT_DIR

PAGE = (PROJECT_DIR / "docs" / "templates-dynamic.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_LINE = re.compile(r"(?:#|<!--) (\S+)(?: -->)?")

DEFINITIONS = {
    "segments/gold.yaml": "segment: gold\nwhere: {trait: {field: tier, eq: gold}}\n",
    "templates/picks.yaml": "template: picks\nchannel: email\nsubject: Picks\nhtml_file: picks.html\n",
}

Campaigns = Callable[..., Any]


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.fixture
def commands(home: Path, campaigns: Campaigns) -> list[list[str]]:
    """The page's files in the folder, with the contacts that they speak of; its commands."""
    found: list[list[str]] = []
    for language, text in BLOCK.findall(PAGE):
        if language == "console":
            found += [line.removeprefix("$ campaigns ").split() for line in text.splitlines()]
            continue
        first, _, rest = text.partition("\n")
        named = FIRST_LINE.fullmatch(first)
        assert named, f"an example without a file name: {first}"
        write(home / (f"definitions/{named[1]}" if "/" in named[1] else named[1]), rest)
    for name, text in DEFINITIONS.items():
        write(home / "definitions" / name, text)
    (home / "hero.png").write_bytes(png())
    write(home / "people.csv", "no,tier\n1001,gold\n1002,silver\n")
    assert campaigns("init").code == 0
    assert campaigns("contacts", "import", "people.csv", "-m", "id=no", "-m", "attributes=rest").code == 0
    return found


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_the_commands_do_what_the_page_says(campaigns: Campaigns, commands: list[list[str]]) -> None:
    before = campaigns("apply", "definitions")
    assert before.code == 2
    assert "tables.recommended does not exist" in before.err
    shown = {" ".join(command[:2]): campaigns(*command, "--json") for command in commands}
    assert {called.code for called in shown.values()} == {0}
    assert shown["tables import"].json["columns"] == {"title": "String", "price": "Float64"}
    assert shown["tables list"].json == [{"table": "recommended", "contacts": 2, "items": 3, "columns": "title, price"}]
    assert shown["tables show"].json["contacts"] == 2
    assert (shown["coupons import"].json["new"], shown["coupons import"].json["rejected"]) == (3, 0)
    assert shown["coupons list"].json == {"pools": [{"pool": "spring", "free": 3, "handed_out": 0}], "by_run": []}
    assert (shown["media add"].json["change"], shown["media add"].json["type"]) == ("new", "png")
    (listed,) = shown["media list"].json
    assert listed["url"] == f"http://127.0.0.1:8991/m/{listed['hash']}.png"
    assert campaigns("apply", "definitions").code == 0


def test_the_commands_speak_to_people_too(campaigns: Campaigns, commands: list[list[str]]) -> None:
    shown = {" ".join(command[:2]): campaigns(*command) for command in commands}
    assert {called.code for called in shown.values()} == {0}
    assert "Table recommended: 3 of 3 rows, of 2 contacts." in shown["tables import"].out
    assert "Pool spring: 3 new codes, 0 were there, of 3 lines." in shown["coupons import"].out
    assert "new: hero.png, version 1: http://127.0.0.1:8991/m/" in shown["media add"].out
    again = campaigns("coupons", "import", "spring", "codes.txt")
    assert "Pool spring: 0 new codes, 3 were there, of 3 lines." in again.out


def test_the_items_of_one_contact(campaigns: Campaigns, commands: list[list[str]], home: Path) -> None:
    for command in commands:
        campaigns(*command)
    shown = campaigns("tables", "show", "recommended", "--contact", contact_id("1001"), "--json")
    assert shown.json["items"] == [{"title": "Lamp", "price": 19.9}, {"title": "Chair", "price": 45.0}]
    assert "Lamp" in campaigns("tables", "show", "recommended", "--contact", contact_id("1001")).out
    nobody = campaigns("tables", "show", "recommended", "--contact", "0" * 24)
    assert (nobody.code, "Lamp" in nobody.out) == (0, False)
    assert campaigns("coupons", "release", "spring--20260302t090000z").code == 3
    (home / "fake.png").write_text("<svg/>")
    fake = campaigns("media", "add", "fake.png", "--json")
    assert (fake.code, "is not a whole PNG" in fake.json["error"]["message"]) == (2, True)
