"""What the heads of sql/analytics/*.sql say: title, sections, and the columns of their output."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign_pipeline.core.errors import Inconsistent

_TITLE = re.compile(r"(?P<name>[a-z0-9_]+): (?P<title>.+)", re.DOTALL)
_SECTION = re.compile(r"-- (?P<name>[A-Z][a-z]+) +(?P<text>\S.*)")
_NAMES = re.compile(r"(?P<names>[a-z_][a-z0-9_]*(?:, ?[a-z_][a-z0-9_]*)*)(?P<more>,?)(?:  +(?P<text>.+))?")
_MARGIN = 12
"""Where the text of a section begins in its lines."""


@dataclass(frozen=True)
class Head:
    """`sections`: by name (Inputs, Params, Grain, Rule, Source), as one text each; `columns`: column -> meaning."""

    name: str
    title: str
    sections: dict[str, str]
    columns: dict[str, str]


def read_head(file: Path) -> Head:
    """The head of one model; Inconsistent if it does not begin with its file's name."""
    lines = list(_comment(file.read_text(encoding="utf-8").splitlines()))
    blank = next((number for number, line in enumerate(lines) if line == "--"), len(lines))
    found = _TITLE.fullmatch(" ".join(line.removeprefix("--").strip() for line in lines[:blank]))
    if not found or found["name"] != file.stem:
        raise Inconsistent(f"{file.name}: its head does not begin with '{file.stem}: ...'")
    sections = dict(_sections(lines[blank + 1 :]))
    output = sections.pop("Output", [])
    texts = {name: " ".join(line.strip() for line in text) for name, text in sections.items()}
    return Head(file.stem, found["title"].removesuffix("."), texts, dict(_columns(output)))


def _comment(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("--"):
            return
        yield line.rstrip()


def _sections(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """(name, lines of its text with their indentation)."""
    name, text = "", list[str]()
    for line in lines:
        if found := _SECTION.fullmatch(line):
            if name:
                yield name, text
            name, text = found["name"], [found["text"]]
        elif name:
            text.append(line[_MARGIN:])
    if name:
        yield name, text


def _columns(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each column with its meaning, which it may share with others: names, two spaces or more, the meaning.

    Names that end with a comma go on in the next line; lines that are indented go on with the meaning.
    """
    names, words, open_list = list[str](), list[str](), False
    for line in lines:
        found = None if line.startswith(" ") else _NAMES.fullmatch(line)
        if found is None:
            words.append(line.strip())
            open_list = False
            continue
        if not open_list:
            yield from ((name, " ".join(words)) for name in names)
            names, words = [], []
        names += re.split(r", ?", found["names"])
        words += [found["text"]] if found["text"] else []
        open_list = bool(found["more"])
    yield from ((name, " ".join(words)) for name in names)
