"""docs/templates.md: its examples are applied, checked and rendered; what it says of checks and figures is so."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from campaign_pipeline.campaigns.definition import MOST_SEEDS
from campaign_pipeline.core.checks import CHECKS, severities
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.messages.checks.rendered import LOOKED_AT
from campaign_pipeline.messages.definition import Head, Input, Template, Texts
from campaign_pipeline.messages.environment import CONTEXT
from campaign_pipeline.messages.formats import format_filters
from campaign_pipeline.messages.rates import read_rates
from campaign_pipeline.messages.sms import sms_parts
from campaign_pipeline.messages.store import load_template
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.checks import check_templates
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.trials import trials
from tests.databases import initialised

PAGE = (PROJECT_DIR / "docs" / "templates.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?:yaml|html)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_LINE = re.compile(r"(?:#|<!--) (\S+)(?: -->)?")
PEOPLE = pl.DataFrame(
    {
        "contact_id": ["a" * 24, "b" * 24],
        "locale": ["de-CH", None],
        "first_name": ["Ann", None],
        "country": ["DE", None],
        "loyalty_points": [1_000, None],
        "next_visit": ["2026-03-09", None],
        "saved": [1.5, None],
    }
)


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    installation = initialised(settings)
    installation.lake.write(PEOPLE, "contact_snapshot")
    yield installation
    installation.engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's examples as a folder of definitions."""
    for text in BLOCK.findall(PAGE):
        first, _, rest = text.partition("\n")
        named = FIRST_LINE.fullmatch(first)
        assert named, first
        file = tmp_path / "examples" / named[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(rest, encoding="utf-8")
    return tmp_path / "examples"


def said(installation: Installation, name: str, locale: str) -> dict[str, str]:
    with reading(installation.engine) as connection:
        template = load_template(connection, name).template
    return trials(installation, template, locale=locale)[0].parts


@pytest.mark.parametrize("examples", ["page", "newsletter"])
def test_the_examples_are_applied_and_without_findings(installation: Installation, folder: Path, examples: str) -> None:
    source = folder if examples == "page" else PROJECT_DIR / "docs" / "examples" / "newsletter"
    applied = apply_folder(installation, source)
    checked = check_templates(installation)
    assert len(checked) == sum(each.kind == "template" for each in applied) > 0
    assert [(each.template, each.findings) for each in checked if each.findings] == []
    assert {each.rendered for each in checked} == {2}


def test_what_the_page_says_of_its_examples(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    assert "You saved €1,234.50" in PAGE
    assert "You saved €1,234.50" in said(installation, "thanks", "en")["body"]
    assert "Gespart: 1.234,50\u00a0€" in said(installation, "thanks", "de")["body"]
    points = said(installation, "points", "en")
    assert "worth €12.50" in points["html"]
    assert "See you on March 9, 2026!" in points["text"]
    assert "Spend them: https://shop.example.com/points?n=Zoe" in points["text"]
    assert '<h1 style="color: #2f6b3a;">' in points["html"]
    assert "1,250 points are waiting." in points["html"]
    assert "Have a look: https://shop.example.com/new" in said(installation, "opening", "en")["text"]


def test_one_character_makes_two_parts(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    with reading(installation.engine) as connection:
        template = load_template(connection, "back_sms").template
    plain = trials(installation, template)[0].parts["body"]
    as_written = trials(installation, template.model_copy(update={"plain_characters": False}))[0].parts["body"]
    assert f"SMS of {len(as_written)}\ncharacters" in PAGE
    assert (sms_parts(plain), sms_parts(as_written)) == (1, 2)


def test_the_rates_can_be_read(folder: Path) -> None:
    assert read_rates(folder / "rates.yaml").currency == "EUR"


def test_every_check_is_listed_as_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (error|warning) \| (.*) \|$", PAGE, re.MULTILINE)
    assert rows == [(check, severity.value, finds) for check, (severity, finds) in CHECKS.items()]
    (example,) = re.findall(r"CAMPAIGN_CHECK_SEVERITY='(.*?)'", PAGE)
    assert severities(Settings(_env_file=None, check_severity=example).check_severity)["broken_html"] == "error"
    assert f"the HTML of {LOOKED_AT} of each" in PAGE
    assert f"({MOST_SEEDS} at most)" in PAGE


def test_every_name_filter_and_field_is_there() -> None:
    for name in CONTEXT:
        assert re.search(rf"`{name}[`.]", PAGE), name
    for name in format_filters("en"):
        assert re.search(rf"^\| `{name}[`(]", PAGE, re.MULTILINE), name
    for model in (Input, Head, Texts, Template):
        for name in model.model_fields:
            assert re.search(rf"`{name}`|^ *\"?{name}: |[{{, ]{name}: ", PAGE, re.MULTILINE), name
