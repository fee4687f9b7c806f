"""docs/definitions.md: its examples are applied as they stand, its error lines are real, and no field is left out.

Segments have a page of their own: docs/segments.md.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.analysis import Analysis
from campaign_pipeline.campaigns.conversion import Conversion
from campaign_pipeline.campaigns.definition import GOALS, At, Campaign, Cron, Utm, Variant
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.messages.authoring.reading import _TemplateFile
from campaign_pipeline.messages.definition import Input, Template
from campaign_pipeline.messages.preview import preview_with_example
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.operations.apply import apply_folder, read_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.segments.catalogue import Catalogue, Kind
from campaign_pipeline.segments.compiler import compiler, lake_tables
from campaign_pipeline.segments.dialect import duckdb_sql

PAGE = (Path(__file__).parents[2] / "docs" / "definitions.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(yaml|html|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_LINE = re.compile(r"(?:#|<!--) ((?:segments|templates|campaigns)/\S+)(?: -->)?")

MODELS: list[type[Definition]] = [
    Campaign,
    Analysis,
    Variant,
    At,
    Cron,
    Utm,
    Conversion,
    Template,
    _TemplateFile,
    Input,
]

CATALOGUE = Catalogue(
    fields={
        "tier": Kind.TEXT,
        "country": Kind.TEXT,
        "email": Kind.TEXT,
        "loyalty_points": Kind.INTEGER,
        "newsletter": Kind.BOOLEAN,
        "created_at": Kind.MOMENT,
    },
    events={
        "purchase": {
            "amount": frozenset({Kind.NUMBER}),
            "channel": frozenset({Kind.TEXT}),
            "refunded": frozenset({Kind.BOOLEAN}),
        }
    },
)
"""Data of the kind that the examples are about."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's examples as a folder of definitions. A body's first line stays: in templates it is a comment."""
    folder = tmp_path / "definitions"
    for name, text in examples():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists(), f"{name} is given twice"
        file.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def installation(settings: Settings, engine: sa.Engine) -> Installation:
    return Installation(settings)


def examples() -> Iterable[tuple[str, str]]:
    for language, text in BLOCK.findall(PAGE):
        first, _, rest = text.partition("\n")
        named = FIRST_LINE.fullmatch(first)
        if named:
            # YAML keeps its comment, so that the lines of errors are those of a file that a reader would copy.
            yield named[1], text if language == "yaml" else rest
        else:
            assert language == "text", f"an example without a file name: {first}"


def test_every_example_is_applied(installation: Installation, folder: Path) -> None:
    applied = apply_folder(installation, folder)
    assert {(each.kind, each.name) for each in applied} == {
        *(("segment", name) for name in ("gold_abroad", "recent_buyers", "resellers", "vip_customers")),
        *(("template", name) for name in ("back_sms", "back_sms_short", "spring_plain", "spring_points")),
        ("template", "vip_whatsapp"),
        *(("campaign", name) for name in ("spring-again", "spring-sale", "summer-test", "vip-everywhere")),
        *(("campaign", name) for name in ("vip-preview", "win-back")),
    }
    assert {each.change for each in applied} == {"new"}
    assert f"{len(applied)} definitions: {len(applied)} applied, 0 unchanged." in PAGE
    assert {each.change for each in apply_folder(installation, folder)} == {"unchanged"}


def test_every_segment_fits_data_of_its_kind(folder: Path) -> None:
    library = read_folder(folder).segments
    for segment in library.values():
        compiled = compiler(segment, library, CATALOGUE, lake_tables(CATALOGUE), datetime(2026, 3, 2, tzinfo=UTC))
        text, _ = duckdb_sql(compiled.members(segment))
        assert text.startswith("SELECT")


def test_every_template_is_rendered_for_a_contact_of_whom_nothing_is_known(folder: Path) -> None:
    unknown = dict.fromkeys(("first_name", "tier", "loyalty_points"))
    for name, template in read_folder(folder).templates.items():
        texts = preview_with_example(
            {"plain": StoredTemplate(template, 1, "")}, unknown, campaign="spring-sale", public_url="http://127.0.0.1"
        )
        assert all(texts["plain"].values()), name


def test_defaults_that_are_written_out_make_no_new_version(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    file = folder / "campaigns" / "vip-preview.yaml"
    file.write_text(file.read_text() + "purpose: marketing\nholdout: 0\n# a comment\n")
    assert {each.change for each in apply_folder(installation, folder)} == {"unchanged"}
    file.write_text(file.read_text() + "send_before: 12h\n")
    changed = [each.name for each in apply_folder(installation, folder) if each.change == "changed"]
    assert changed == ["vip-preview"]


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("campaigns/spring-sale.yaml", "segment: recent_buyers", "segment: recent_buyer"),
        ("campaigns/spring-sale.yaml", "holdout: 10", "holdout: 60"),
        ("segments/recent_buyers.yaml", "within: 365d", "within: 365 days"),
        ("templates/spring.html", "contact.tier", "contcat.tier"),
    ],
)
def test_the_page_shows_the_errors_as_they_are(
    installation: Installation, folder: Path, file: str, right: str, wrong: str
) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert right in text
    (folder / file).write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(CampaignError) as raised:
        apply_folder(installation, folder)
    assert f"error: {raised.value.message.replace(str(folder), 'definitions')}\n" in PAGE
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_explained(model: type[Definition]) -> None:
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for name in names if not explained(name)} == set()


def test_every_goal_is_explained() -> None:
    assert {word for word in GOALS if not explained(word)} == set()


def explained(name: str) -> bool:
    """Named in a table or in the text, as code: `name`, or at the start of one such as `all: [nodes]`."""
    return re.search(rf"`\{{?{re.escape(name)}(: [^`]*)?`", PAGE) is not None
