"""The documentation speaks of what is there: folders, words, commands, files."""

import re
from pathlib import Path

import pytest

from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.words import Channel, Outcome

DOCS = sorted([PROJECT_DIR / "README.md", PROJECT_DIR / "CHANGELOG.md", *(PROJECT_DIR / "docs").glob("*.md")])


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_leads_to_every_page() -> None:
    readme = (PROJECT_DIR / "README.md").read_text()
    assert [page.name for page in (PROJECT_DIR / "docs").glob("*.md") if f"docs/{page.name}" not in readme] == []


def test_the_architecture_names_every_folder_and_no_other() -> None:
    text = (PROJECT_DIR / "docs" / "architecture.md").read_text()
    drawn = set(re.findall(r"^  (\w+)/ ", text, re.MULTILINE))
    package = PROJECT_DIR / "campaign_pipeline"
    assert drawn == {folder.parent.name for folder in package.glob("*/__init__.py")}


def test_the_glossary_explains_every_outcome_and_channel() -> None:
    text = (PROJECT_DIR / "docs" / "glossary.md").read_text()
    assert [word for word in (*Outcome, *Channel) if word not in text] == []


def test_the_make_targets_of_the_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE))
    used = {name for page in DOCS for name in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "dev", "test", "check"} <= used <= targets


def test_the_readme_shows_what_the_demo_is_set_to() -> None:
    """Its figures are those of the demo's people and truth: they change together."""
    readme = (PROJECT_DIR / "README.md").read_text()
    (row,) = re.findall(
        r"^  (\d[\d,]*) in the segment = ([\d,]+) planned \+ ([\d,]+) held out \+ ([\d,]+)", readme, re.M
    )
    segment, *parts = (int(figure.replace(",", "")) for figure in row)
    assert segment == sum(parts)
