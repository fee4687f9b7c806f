"""Checking templates against contacts, and the gate before a run may send."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, load_run, request_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template, load_template
from campaign_pipeline.operations.checks import NO_ERRORS, NO_WARNINGS, check_templates, message_gates
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.runs import estimated_costs
from campaign_pipeline.operations.trials import trials

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
OUT = '<a href="{{ unsubscribe_url }}">out</a>'

Keep = Callable[..., None]


@pytest.fixture
def keep(installation: Installation) -> Keep:
    """Keeps a template with the given fields."""

    def apply(name: str, **fields: Any) -> None:
        with writing(installation.engine) as connection:
            apply_template(connection, Template.model_validate({"template": name, **fields}), AT)

    return apply


def email(**fields: object) -> dict[str, Any]:
    return {"channel": "email", "subject": "Hi", "html": f"<p>Hi</p>{OUT}", "text": "Hi", **fields}


def people(installation: Installation, names: list[str | None], **columns: object) -> None:
    ids = [f"{number:024x}" for number in range(len(names))]
    frame = pl.DataFrame({"contact_id": ids, "locale": "en", "first_name": names})
    installation.lake.write(frame.with_columns(**{k: pl.lit(v) for k, v in columns.items()}), "contact_snapshot")


def found(installation: Installation, name: str, contacts: int = 100) -> list[tuple[str, str, int, int]]:
    (checked,) = check_templates(installation, [name], contacts)
    return [(each.check, each.severity.value, each.line, each.contacts) for each in checked.findings]


def test_a_good_template_has_no_findings(installation: Installation, keep: Keep) -> None:
    keep("good", **email())
    assert [(each.findings, each.rendered, each.looked_at) for each in check_templates(installation)] == [([], 0, 0)]
    people(installation, ["Ann"] * 250)
    assert [(each.findings, each.rendered, each.looked_at) for each in check_templates(installation)] == [([], 250, 84)]


def test_a_null_is_found_among_all_contacts_and_its_contacts_are_named(installation: Installation, keep: Keep) -> None:
    keep("nulls", **email(text="\nHi {{ contact.first_name }}"))
    people(installation, ["Ann"] * 40 + [None] * 7 + ["Bob"])
    (checked,) = check_templates(installation, ["nulls"], contacts=1)
    (finding,) = checked.findings
    assert (finding.check, finding.part, finding.line) == ("not_rendered", "text", 2)
    assert finding.problem == "contact.first_name is null"
    assert (finding.contacts, finding.sample[0], len(finding.sample)) == (7, f"{40:024x}", 5)
    assert checked.errors == 1


def test_a_field_that_contacts_do_not_have(installation: Installation, keep: Keep) -> None:
    keep("typo", **email(subject="{{ contact.frist_name }} {{ segments.vips }}"))
    (checked,) = check_templates(installation, ["typo"])
    assert [each.problem for each in checked.findings if each.check == "unknown_variable"] == [
        "segments.vips does not exist"
    ]
    people(installation, ["Ann"])
    (checked,) = check_templates(installation, ["typo"])
    assert [each.problem for each in checked.findings] == [
        "contact.frist_name does not exist; did you mean contact.first_name?",
        "segments.vips does not exist",
    ]


def test_a_declared_default_is_enough(installation: Installation, keep: Keep) -> None:
    keep("shop", **email(subject="{{ contact.shop }}", inputs={"shop": {"default": "Main Street"}}))
    people(installation, ["Ann"])
    assert found(installation, "shop") == []


def test_every_language_is_looked_at(installation: Installation, keep: Keep) -> None:
    german = {"subject": "Hallo", "html": '<p>Hallo</p>\n<a href="x">out</a>', "text": "Hallo"}
    keep("two", **email(locales={"de": german}))
    (checked,) = check_templates(installation, ["two"])
    assert {(each.locale, each.check, each.line) for each in checked.findings} == {
        ("de", "bad_link", 2),
        ("de", "missing_unsubscribe", 0),
    }


def test_sms_are_counted_with_the_longest_names(installation: Installation, keep: Keep) -> None:
    keep("flash", channel="sms", body="{{ contact.first_name }}: reply STOP", max_parts=1)
    people(installation, ["Ann", "x" * 200])
    assert found(installation, "flash") == [("too_many_parts", "error", 0, 1)]


def test_severity_is_set_by_the_team(installation: Installation, keep: Keep) -> None:
    keep("bare", channel="sms", body="Sale")
    assert found(installation, "bare") == [("missing_stop", "warning", 0, 0)]
    for severity, seen in (("error", [("missing_stop", "error", 0, 0)]), ("off", [])):
        settings = installation.settings.model_copy(update={"check_severity": {"missing_stop": severity}})
        assert found(replace(installation, settings=settings), "bare") == seen


def test_an_image_of_ours_that_is_not_there(installation: Installation, keep: Keep) -> None:
    address = installation.settings.media_url("0a1b.png")
    keep("picture", **email(html=f'<p>Hi</p>\n<img alt="" src="{address}">{OUT}'))
    assert found(installation, "picture") == [("missing_media", "error", 2, 0)]
    installation.settings.media_folder.mkdir(parents=True)
    (installation.settings.media_folder / "0a1b.png").write_bytes(b"")
    assert found(installation, "picture") == []


def test_a_template_for_one_contact_by_its_id(installation: Installation, keep: Keep) -> None:
    keep("who", channel="sms", body="{{ contact.first_name | default('nobody', true) }} STOP")
    people(installation, ["Ann", None], external_id="7")
    assert [each.says for each in trials(installation, stored(installation, "who"), f"{0:024x}")] == ["Ann STOP"]
    with pytest.raises(NotFound, match="no contact 'x'"):
        trials(installation, stored(installation, "who"), "x")


def stored(installation: Installation, name: str) -> Template:
    with reading(installation.engine) as connection:
        return load_template(connection, name).template


def test_errors_block_and_warnings_are_shown(installation: Installation, keep: Keep) -> None:
    keep("bare", channel="sms", body="Sale")
    (checked,) = check_templates(installation, ["bare"])
    gates = {gate.name: gate for gate in message_gates(checked.findings)}
    assert (gates[NO_ERRORS].passed, gates[NO_ERRORS].blocking, gates[NO_ERRORS].found) == (True, True, 0)
    assert (gates[NO_WARNINGS].passed, gates[NO_WARNINGS].blocking, gates[NO_WARNINGS].found) == (False, False, 1)
    assert "missing" not in gates[NO_ERRORS].description
    assert "does not say how to opt out" in gates[NO_WARNINGS].description


def test_what_a_run_costs_is_known_by_the_team_s_rates(installation: Installation, tmp_path: Path) -> None:
    variants = [{"name": "a", "weight": 1, "template": "t"}]
    given = {"campaign": "c", "channel": "sms", "segment": "s", "variants": variants}
    with writing(installation.engine) as connection:
        apply_campaign(connection, Campaign.model_validate(given), AT)
        run = load_run(connection, request_run(connection, "c", AT, requested_by="test", at=AT))
    messages = pl.DataFrame({"address": ["+4420", "+1202", "+1203"], "sms_parts": [2, 1, 3]}).lazy()
    assert estimated_costs(installation, run, messages) is None
    (tmp_path / "rates.yaml").write_text("currency: EUR\nsms: {default: 0.5, '+44': 0.04}\nwhatsapp: {default: 1}\n")
    settings = installation.settings.model_copy(update={"sms_rates": str(tmp_path / "rates.yaml")})
    costs = estimated_costs(replace(installation, settings=settings), run, messages)
    assert costs is not None
    assert costs.rows() == [("+44", 1, 2, 0.08, "EUR"), ("default", 2, 4, 2.0, "EUR")]
