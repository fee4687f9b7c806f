"""Images: taken by what they are, kept by content, and named in templates."""

import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.authoring.reading import read_template_file
from campaign_pipeline.messages.definition import Template, environment_of, source_problems
from campaign_pipeline.messages.media import Medium, add_media, image_type, load_media
from campaign_pipeline.messages.media_links import UnknownMedium, with_media
from campaign_pipeline.messages.preview import preview_with_example
from campaign_pipeline.messages.store import StoredTemplate

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
URL = "https://img.example.com/0123.png"


def png(grey: int = 0) -> bytes:
    """A picture of one dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, grey]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00/\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"


def add(engine: sa.Engine, folder: Path, name: str, content: bytes, file: str = "file") -> tuple[str, Medium]:
    path = folder / file
    path.write_bytes(content)
    with writing(engine) as connection:
        return add_media(connection, folder / "media", path, name, max_bytes=1_000, at=AT)


@pytest.mark.parametrize("content", [png(), GIF, JPEG, WEBP], ids=["png", "gif", "jpeg", "webp"])
def test_an_image_is_known_by_its_content_and_must_be_whole(
    content: bytes, request: pytest.FixtureRequest, engine: sa.Engine, tmp_path: Path
) -> None:
    kind = request.node.callspec.id
    assert image_type(content) == kind
    assert image_type(content[:-1]) is None
    assert image_type(b"x" + content) is None
    extension = "jpg" if kind == "jpeg" else kind
    change, medium = add(engine, tmp_path, f"hero.{extension}", content)
    assert (change, medium.type, medium.bytes) == ("new", kind, len(content))
    assert (tmp_path / "media" / medium.file).read_bytes() == content
    assert medium.file == f"{medium.hash}.{extension}"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("hero.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "is not a whole PNG, JPEG"),
        ("hero.png", b"<html>", "is not a whole PNG, JPEG"),
        ("hero.png", b"", "is not a whole PNG, JPEG"),
        ("hero.png", GIF, "is a gif image, but the name is 'hero.png'"),
        ("hero", GIF, "is a gif image, but the name is 'hero'"),
        ("../hero.gif", GIF, "is not usable"),
        ("he'ro.gif", GIF, "is not usable"),
        ("hero.png", png() + bytes(1_000), "bytes, more than 1,000"),
    ],
)
def test_anything_else_is_not_taken(engine: sa.Engine, tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        add(engine, tmp_path, name, content)
    with reading(engine) as connection:
        assert load_media(connection) == {}
    assert not (tmp_path / "media").exists()


@pytest.mark.parametrize("database", ["engine", "postgres_engine"])
def test_a_name_can_move_to_another_image(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    engine: sa.Engine = request.getfixturevalue(database)
    _, first = add(engine, tmp_path, "hero.png", png(0))
    assert add(engine, tmp_path, "hero.png", png(0)) == ("unchanged", first)
    change, second = add(engine, tmp_path, "hero.png", png(255))
    assert (change, second.version) == ("changed", 2)
    assert add(engine, tmp_path, "again.png", png(0))[1].hash == first.hash != second.hash
    with reading(engine) as connection:
        assert load_media(connection) == {"again.png": load_media(connection)["again.png"], "hero.png": second}
    assert sorted(file.name for file in (tmp_path / "media").iterdir()) == sorted([first.file, second.file])


def email(html: str, **others: object) -> Template:
    return Template.model_validate(
        {"template": "t", "channel": Channel.EMAIL, "subject": "s", "html": html, "text": "t"} | others
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<img src=\"{{ media('hero.png') }}\">\n", f'<img src="{URL}">\n'),
        ('a {{media("hero.png")}} b', f"a {URL} b"),
        (
            "a {{- media ( 'hero.png' ) -}} b",
            f"a {{{{-'{URL}'-}}}} b".replace("{{-'", "{{- '").replace("'-}}", "' -}}"),
        ),
        ("{% set x = media('hero.png') %}{{ x }}", f"{{% set x = '{URL}' %}}{{{{ x }}}}"),
        ("{{ media('hero.png') ~ '?x' }}", f"{{{{ '{URL}' ~ '?x' }}}}"),
        ("{# media('hero.png') #}media('hero.png'){% raw %}{{ media('hero.png') }}{% endraw %}", None),
        ("{{ contact.media }}", None),
    ],
)
def test_a_medium_becomes_its_address(source: str, expected: str | None) -> None:
    assert list(source_problems("html", source)) == []
    html = with_media(email(source), {"hero.png": URL}).html
    assert html is not None
    context = {"contact": {"media": "m"}}
    if expected is None:
        assert html == source
    else:
        rendered = environment_of("html").from_string(html).render(context)
        assert rendered == environment_of("html").from_string(expected).render(context)
        assert "media(" not in html


def test_all_parts_in_all_languages_get_addresses() -> None:
    source = "{{ media('hero.png') }}"
    template = email(
        source, subject=source, text=source, locales={"de": {"subject": source, "html": source, "text": source}}
    )
    done = with_media(template, {"hero.png": URL})
    assert {text for locale in done.languages for text in done.parts(locale).values()} == {URL}
    body = Template(template="w", channel=Channel.WHATSAPP, content_sid="HX" + "0" * 32, variables={"1": source})
    assert with_media(body, {"hero.png": URL}).variables == {"1": URL}


def test_a_medium_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownMedium, match=r"html, line 2: there is no medium 'hreo.png'; did you mean 'hero.png'\?"):
        with_media(email("<p>\n{{ media('hreo.png') }}"), {"hero.png": URL})
    with pytest.raises(UnknownMedium, match="html, line 1: write it as media"):
        with_media(email("{{ media(('hero.png')) }}"), {"hero.png": URL})


@pytest.mark.parametrize(
    "wrong",
    [
        "media(contact.picture)",
        "media('a' ~ 'b')",
        "media()",
        "media('a', 'b')",
        "media(name='a')",
        "media",
        "media('../a')",
        "media | string",
    ],
)
def test_a_medium_is_named_by_one_constant(tmp_path: Path, wrong: str) -> None:
    problem = "media takes one file name in quotes: media('hero.png')"
    assert list(source_problems("html", f"<p>\n{{{{ {wrong} }}}}")) == [(2, problem)]
    (tmp_path / "t.html").write_text(f"<p>\n\n<img src='{{{{ {wrong} }}}}'></p>")
    file = tmp_path / "t.yaml"
    file.write_text("template: t\nchannel: email\nsubject: s\nhtml_file: t.html\ntext: t\n")
    with pytest.raises(InvalidDefinition) as raised:
        read_template_file(file)
    assert (raised.value.file.name, raised.value.line, raised.value.problem) == ("t.html", 3, problem)


def test_a_template_that_was_not_applied_has_no_addresses() -> None:
    stored = StoredTemplate(email("{{ media('hero.png') }}"), 1, "")
    with pytest.raises(
        InvalidInput, match=r"html, line 1: media\(...\) becomes an address when the template is applied"
    ):
        preview_with_example({"a": stored}, {}, campaign="c", public_url="http://127.0.0.1")


PIECES = [
    "{{ media('a.png') }}",
    '{{- media( "a.png" ) }}',
    "{{ 'x' ~ media('a.png') }}",
    "{% if media('a.png') %}y{% endif %}",
]
TEXTS = [" a\n", "<p>", "\n\n", "{# media('a.png') #}", "{{ 1 }}", "}}", "{% raw %}{{ media( {% endraw %}", "'", '"']


@given(st.lists(st.sampled_from(PIECES + TEXTS), max_size=8).map("".join))
def test_addresses_change_nothing_else(source: str) -> None:
    """As if `media` were a function that gives the address."""
    environment = environment_of("html")
    expected = environment.from_string(source, globals={"media": lambda _name: URL}).render()
    html = with_media(email(source or "x"), {"a.png": URL}).html
    assert environment.from_string(html or "").render() == (expected if source else "x")
