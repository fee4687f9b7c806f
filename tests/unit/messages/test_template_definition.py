"""Template files: what is refused, where the mistake is said to be, and that a version holds everything."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.authoring.reading import read_template_file
from campaign_pipeline.messages.definition import Template, unknown_variables

EMAIL = "template: spring\nchannel: email\nsubject: Hi\n"
SID = "HX" + "0123456789abcdef" * 2


def written(folder: Path, text: str, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content, encoding="utf-8")
    path = folder / "one.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problem(folder: Path, text: str, **files: str) -> tuple[str, int, str, str]:
    with pytest.raises(InvalidDefinition) as caught:
        read_template_file(written(folder, text, **files))
    error = caught.value
    return error.file.name, error.line, error.field, error.problem


def test_body_files_become_part_of_the_definition(tmp_path: Path) -> None:
    path = written(tmp_path, EMAIL + "html_file: a.html\ntext: Hello\n", a_html="<p>{{ contact.x }}</p>\n")
    template = read_template_file(path)
    assert template.parts() == {"subject": "Hi", "html": "<p>{{ contact.x }}</p>\n", "text": "Hello"}
    assert Template.model_validate(template.model_dump(mode="json", exclude_defaults=True)) == template


def test_sms_and_whatsapp_have_their_parts(tmp_path: Path) -> None:
    sms = read_template_file(written(tmp_path, "template: a\nchannel: sms\nbody: Hi\n"))
    assert sms.parts() == {"body": "Hi"}
    variables = "".join(f'  "{n}": v{n}\n' for n in (10, *range(1, 10)))
    whatsapp = read_template_file(
        written(tmp_path, f"template: a\nchannel: whatsapp\ncontent_sid: {SID}\nvariables:\n{variables}")
    )
    assert list(whatsapp.parts()) == [f"var:{n}" for n in range(1, 11)]
    assert whatsapp.content_sid == SID


def test_whatsapp_has_free_text_or_a_content_template(tmp_path: Path) -> None:
    free = read_template_file(written(tmp_path, "template: a\nchannel: whatsapp\nbody: Hi {{ contact.x }}\n"))
    assert (free.parts(), free.is_approved) == ({"body": "Hi {{ contact.x }}"}, False)
    approved = read_template_file(written(tmp_path, f"template: a\nchannel: whatsapp\ncontent_sid: {SID}\n"))
    assert (approved.parts(), approved.is_approved) == ({}, True)


@pytest.mark.parametrize(
    ("text", "line", "field", "says"),
    [
        ("template: Spring\nchannel: sms\nbody: x\n", 1, "template", "template name 'Spring' is not usable"),
        ("template: a\nchannel: pigeon\nbody: x\n", 2, "channel", "'email', 'sms', 'whatsapp' or 'webhook'"),
        ("template: a\nchannel: sms\nbody: x\ncolour: red\n", 4, "colour", "is not a field here"),
        ("template: a\nchannel: sms\nbody: x\nsubject: y\n", 4, "subject", "is not a part of sms, which has body"),
        ("template: a\nchannel: sms\n", 1, "body", "is missing: sms needs it"),
        ('template: a\nchannel: sms\nbody: ""\n', 3, "body", "is missing: sms needs it"),
        (EMAIL + "text: x\n", 1, "html", "is missing: email needs it"),
        ("template: a\nchannel: sms\nbody: x\nlocale: klingon\n", 4, "locale", "is not a locale that is known"),
        ("template: a\nchannel: sms\nbody: x\nlocales: {de: {body: ''}}\n", 4, "locales.de.body", "is missing"),
        ("template: a\nchannel: sms\nbody: x\nlocales:\n  en: {body: x}\n", 1, "", "is the template's own language"),
        (
            "template: a\nchannel: sms\nbody: x\ninputs: {n: {type: integer, default: x}}\n",
            4,
            "inputs.n",
            "not of type",
        ),
        (EMAIL + "html: x\ntext_file: no.txt\n", 5, "text_file", "there is no file 'no.txt' beside this one"),
        (EMAIL + "html: x\ntext_file: ../a.txt\n", 5, "text_file", "there is no file"),
        (EMAIL + "html: x\ntext: y\ntext_file: a.txt\n", 6, "text_file", "text is given as well: keep one"),
        ("template: a\nchannel: whatsapp\ncontent_sid: HX12\n", 3, "content_sid", "HX"),
        ("template: a\nchannel: whatsapp\n", 1, "content_sid", "is missing: whatsapp needs it, or a body"),
        (f"template: a\nchannel: whatsapp\nbody: x\ncontent_sid: {SID}\n", 4, "content_sid", "not go with a body"),
        ('template: a\nchannel: whatsapp\nbody: x\nvariables: {"1": x}\n', 4, "variables", "not go with a body"),
        (
            f'template: a\nchannel: whatsapp\ncontent_sid: {SID}\nvariables: {{"2": x}}\n',
            4,
            "variables",
            "without a gap",
        ),
        (f"template: a\nchannel: whatsapp\ncontent_sid: {SID}\nvariables:\n  1: []\n", 5, "variables.1", "string"),
        (f'template: a\nchannel: whatsapp\ncontent_sid: {SID}\nvariables:\n  "1": "{{{{"\n', 5, "variables.1", "unex"),
        ("template: a\nchannel: sms\nbody: |\n  x\n  {% if %}\n", 3, "body", "line 2 of the text: Expected"),
        ("template: a\nchannel: sms\nbody: '{{ x | nofilter }}'\n", 3, "body", "No filter named 'nofilter'"),
        (
            "template: a\nchannel: sms\nbody: '{{ contcat.x }}'\n",
            3,
            "body",
            "contcat does not exist; did you mean contact",
        ),
        (
            "template: a\nchannel: sms\nbody: '{% include \"b\" %}'\n",
            3,
            "body",
            "there is no file 'b' among the templates",
        ),
    ],
)
def test_a_mistake_is_named_by_line_and_field(tmp_path: Path, text: str, line: int, field: str, says: str) -> None:
    name, found_line, found_field, found = problem(tmp_path, text)
    assert (name, found_line, found_field) == ("one.yaml", line, field)
    assert says in found


def test_a_mistake_in_a_body_file_is_named_by_its_line_there(tmp_path: Path) -> None:
    text = EMAIL + "html_file: a.html\ntext: y\n"
    name, line, field, says = problem(tmp_path, text, a_html="<p>\n{% if contact.x %}\n</p>\n{% endfor %}")
    assert (name, line, field) == ("a.html", 4, "")
    assert "endfor" in says


def test_a_body_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"\xff\xfe")
    assert problem(tmp_path, EMAIL + "html_file: a.html\ntext: y\n")[0] == "a.html"


def test_a_stored_template_is_checked_too() -> None:
    with pytest.raises(ValidationError, match="html is missing"):
        Template.model_validate({"template": "a", "channel": "email", "subject": "x", "text": "y"})


def test_unknown_fields_are_named_with_what_was_meant() -> None:
    template = Template(
        template="a",
        channel=Channel.EMAIL,
        subject="{{ contact.frist_name }}",
        html="\n{{ contact['tier'] }}{% for x in range(3) %}{{ x }}{{ loop.index }}{% endfor %}",
        text="{% set y = contact.locale %}{{ y }}{{ unsubscribe_url }}{{ campaign }}{{ variant }}",
    )
    assert [str(one) for one in unknown_variables(template, {"first_name", "locale"})] == [
        "subject, line 1: contact.frist_name does not exist; did you mean contact.first_name?",
        "html, line 2: contact.tier does not exist",
    ]
    assert unknown_variables(template, {"frist_name", "locale", "tier"}) == []


def test_the_sample_templates_are_valid_and_use_known_fields_only() -> None:
    paths = sorted((SAMPLE_DEFINITIONS_DIR / "templates").glob("*.yaml"))
    assert len(paths) == 5
    fields = {"first_name", "last_name", "locale", "country", "timezone", "loyalty_points", "tier", "birthday"}
    for path in paths:
        template = read_template_file(path)
        assert template.template == path.stem
        assert unknown_variables(template, fields) == []
        if template.channel is Channel.SMS:
            assert "STOP" in template.parts()["body"]
        if template.channel is Channel.EMAIL:
            assert all("unsubscribe_url" in template.parts()[part] for part in ("html", "text"))
