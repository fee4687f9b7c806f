"""A folder of definitions is checked as a whole, and kept whole or not at all."""

from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import campaign_state, load_campaigns
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.tables import campaign_versions, campaigns, segment_versions, template_versions
from campaign_pipeline.core.words import RunState
from campaign_pipeline.messages.store import load_template
from campaign_pipeline.operations.apply import apply_folder, read_folder
from campaign_pipeline.operations.installation import Installation

TABLES = (segment_versions, template_versions, campaign_versions, campaigns)


def kept(installation: Installation) -> list[int]:
    """Rows of segment, template and campaign versions, and campaigns."""
    with reading(installation.engine) as connection:
        return [connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in TABLES]


def mistake(installation: Installation, folder: Path) -> InvalidDefinition:
    before = kept(installation)
    with pytest.raises(InvalidDefinition) as caught:
        apply_folder(installation, folder)
    assert kept(installation) == before
    return caught.value


def change(folder: Path, name: str, old: str, new: str) -> Path:
    file = folder / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def test_everything_is_kept_in_the_order_in_which_it_depends(installation: Installation, folder: Path) -> None:
    applied = apply_folder(installation, folder)
    assert [(each.kind, each.name, each.change) for each in applied] == [
        ("segment", "buyers", "new"),
        ("segment", "loyal", "new"),
        ("template", "plain", "new"),
        ("template", "short", "new"),
        ("campaign", "reminder", "new"),
        ("campaign", "spring-sale", "new"),
    ]
    assert kept(installation) == [2, 2, 2, 2]
    with reading(installation.engine) as connection:
        assert campaign_state(connection, "spring-sale") == RunState.DRAFT
        assert campaign_state(connection, "reminder") == RunState.SCHEDULED


def test_applying_again_changes_nothing(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    assert {each.change for each in apply_folder(installation, folder)} == {"unchanged"}
    assert kept(installation) == [2, 2, 2, 2]


def test_only_what_changed_gets_a_version_also_a_body_file(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    change(folder, "templates/plain.html", "Hi", "Hello")
    changed = [each.name for each in apply_folder(installation, folder) if each.change == "changed"]
    assert changed == ["plain"]
    assert kept(installation) == [2, 3, 2, 2]
    with reading(installation.engine) as connection:
        assert load_template(connection, "plain").template.html == '<p>Hello</p><a href="{{ unsubscribe_url }}">out</a>'


def test_a_folder_may_build_on_what_was_applied_before(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    for name in ("segments/buyers.yaml", "templates/plain.yaml"):
        (folder / name).unlink()
    change(folder, "campaigns/spring-sale.yaml", "segment: buyers", "segment: buyers\nholdout: 10")
    assert Counter(each.change for each in apply_folder(installation, folder)) == {"unchanged": 3, "changed": 1}


def test_an_unknown_segment_is_named_with_its_line_and_the_nearest(installation: Installation, folder: Path) -> None:
    file = change(folder, "campaigns/spring-sale.yaml", "segment: buyers", "segment: byers")
    error = mistake(installation, folder)
    assert (error.file, error.line, error.field) == (file, 3, "segment")
    assert error.problem == "segment 'byers' does not exist; did you mean 'buyers'?"


def test_an_unknown_template_is_named_with_its_line_and_the_nearest(installation: Installation, folder: Path) -> None:
    more = "  - {name: plain, weight: 1, template: plain}\n  - {name: b, weight: 1, template: plane}"
    file = change(folder, "campaigns/spring-sale.yaml", "  - {name: plain, weight: 1, template: plain}", more)
    error = mistake(installation, folder)
    assert (error.file, error.line, error.field) == (file, 6, "variants.1.template")
    assert error.problem == "template 'plane' does not exist; did you mean 'plain'?"


def test_nothing_is_suggested_where_nothing_is_near(installation: Installation, folder: Path) -> None:
    change(folder, "campaigns/spring-sale.yaml", "segment: buyers", "segment: xyz")
    assert mistake(installation, folder).problem == "segment 'xyz' does not exist"


def test_a_template_of_another_channel_is_refused(installation: Installation, folder: Path) -> None:
    file = change(folder, "campaigns/spring-sale.yaml", "template: plain", "template: short")
    error = mistake(installation, folder)
    assert (error.file, error.line, error.field) == (file, 5, "variants.0.template")
    assert error.problem == "template 'short' is for sms, campaign 'spring-sale' for email"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("shrt", "template 'shrt' does not exist; did you mean 'short'?"),
        ("plain", "template 'plain' is for email, this step for sms"),
    ],
)
def test_templates_of_fallbacks_are_looked_at_too(
    installation: Installation, folder: Path, template: str, problem: str
) -> None:
    file = folder / "campaigns/spring-sale.yaml"
    variants = [line.split("name: ")[1].split(",")[0] for line in file.read_text().splitlines() if "{name: " in line]
    templates = ", ".join(f"{variant}: {template}" for variant in variants)
    file.write_text(f"{file.read_text()}fallback:\n  - {{channel: sms, templates: {{{templates}}}}}\n")
    error = mistake(installation, folder)
    assert (error.field, error.problem) == (f"fallback.0.templates.{variants[0]}", problem)


def test_a_changed_template_must_fit_the_campaigns_that_were_applied_before(
    installation: Installation, folder: Path
) -> None:
    apply_folder(installation, folder)
    (folder / "campaigns/spring-sale.yaml").unlink()
    (folder / "templates/plain.yaml").write_text("template: plain\nchannel: sms\nbody: Hi\n")
    error = mistake(installation, folder)
    assert error.file == folder
    assert error.problem == "template 'plain' is for sms, campaign 'spring-sale' for email"


@pytest.mark.parametrize(
    ("name", "old", "new", "field", "line"),
    [
        ("segments/loyal.yaml", "segment: buyers", "segmnt: buyers", "where.all.0", 4),
        ("templates/short.yaml", "body: Hi", "body: '{{ nobody.name }}'", "body", 3),
        ("campaigns/reminder.yml", "weight: 1", "weight: 0", "variants.0.weight", 6),
        ("campaigns/reminder.yml", "schedule: now", "schedule: {cron: x}", "schedule.cron", 4),
    ],
)
def test_where_one_file_is_wrong_nothing_is_kept(
    installation: Installation, folder: Path, name: str, old: str, new: str, field: str, line: int
) -> None:
    file = change(folder, name, old, new)
    error = mistake(installation, folder)
    assert (error.file, error.field, error.line) == (file, field, line)
    assert kept(installation) == [0, 0, 0, 0]


def test_segments_that_refer_to_each_other_in_a_circle_are_refused(installation: Installation, folder: Path) -> None:
    (folder / "segments/buyers.yaml").write_text("segment: buyers\nwhere: {segment: loyal}\n")
    with pytest.raises(InvalidInput, match="refers to itself"):
        apply_folder(installation, folder)
    assert kept(installation) == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["segment", "template", "campaign"])
def test_two_files_that_define_one_name_are_refused(installation: Installation, folder: Path, kind: str) -> None:
    first = sorted((folder / f"{kind}s").glob("*.y*ml"))[0]
    second = first.with_name("z.yaml")
    second.write_text(first.read_text())
    error = mistake(installation, folder)
    assert (error.file, error.field) == (second, kind)
    assert error.problem.endswith(f"is already defined in {first}")


def test_a_folder_without_definitions_is_refused(installation: Installation, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a folder"):
        apply_folder(installation, tmp_path / "gone")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InvalidInput, match="holds no definitions"):
        apply_folder(installation, empty)


def test_the_sample_definitions_apply(installation: Installation) -> None:
    found = read_folder(SAMPLE_DEFINITIONS_DIR)
    applied = apply_folder(installation, SAMPLE_DEFINITIONS_DIR)
    assert Counter(each.kind for each in applied) == {
        "segment": len(found.segments),
        "template": len(found.templates),
        "campaign": len(found.campaigns),
    }
    assert {each.change for each in applied} == {"new"}
    assert {each.change for each in apply_folder(installation, SAMPLE_DEFINITIONS_DIR)} == {"unchanged"}
    with reading(installation.engine) as connection:
        assert load_campaigns(connection) == found.campaigns
    assert {campaign.channel for campaign in found.campaigns.values()} == {"email", "sms", "whatsapp"}
