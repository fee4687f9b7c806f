"""Segments, contact tables, coupons and media from their definitions to a run's messages."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.life_cycle import move_run
from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, mapping_from_pairs
from campaign_pipeline.contacts.snapshot import write_snapshot
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound, Refused
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import claims
from campaign_pipeline.core.words import RunState
from campaign_pipeline.messages.contact_tables import import_table
from campaign_pipeline.messages.coupons import import_codes, pool_counts, reserve
from campaign_pipeline.messages.skeletons import assemble
from campaign_pipeline.messages.store import load_template
from campaign_pipeline.operations import rendering
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.content import add_medium, release_codes
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.runs import freeze_audience, preview_messages
from campaign_pipeline.segments.evaluate import members
from campaign_pipeline.segments.store import load_segments
from tests.databases import initialised

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
PEOPLE = 6
HTML = (
    "<img src=\"{{ media('hero.gif') }}\">{% if segments.gold %}<p>Gold</p>{% endif %}"
    "{% for item in tables.recs %}<p>{{ item.title }}</p>{% endfor %}<p>{{ coupons.spring }}</p>"
)
FILES = {
    "segments/everybody.yaml": "segment: everybody\nwhere: {trait: {field: tier, in: [gold, silver]}}\n",
    "segments/gold.yaml": "segment: gold\nwhere: {trait: {field: tier, eq: gold}}\n",
    "templates/with.yaml": (
        f"template: with\nchannel: email\nsubject: s\nhtml: |\n  {HTML}\ntext: '{{{{ unsubscribe_url }}}}'\n"
    ),
    "templates/without.yaml": "template: without\nchannel: email\nsubject: s\nhtml: <p>h</p>\ntext: t\n",
    "campaigns/spring-sale.yaml": (
        "campaign: spring-sale\nchannel: email\nsegment: everybody\nvariants:\n"
        "  - {name: a, weight: 1, template: with}\n  - {name: b, weight: 1, template: without}\n"
    ),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[Installation]:
    """An installation with contacts, a contact table, codes and an image, and the folder `definitions` beside it."""
    if request.param == "postgresql":
        settings = settings.model_copy(update={"database_url": request.getfixturevalue("postgres_url")})
    installation = initialised(settings)
    people = "id,mail,tier,ok\n" + "".join(
        f"{n},c{n}@example.com,{'gold' if n % 2 else 'silver'},yes\n" for n in range(PEOPLE)
    )
    (tmp_path / "people.csv").write_text(people)
    pairs = ["id=id", "email=mail", "attributes.tier=tier", "consent.email=ok"]
    import_contacts(
        installation.engine,
        tmp_path / "people.csv",
        mapping_from_pairs(pairs, ContactMapping),
        clock=installation.clock,
        rejects_path=tmp_path / "rejects",
    )
    (tmp_path / "items.csv").write_text("id,title\n1,Lamp <2>\n0,Chair\n1,Sofa\n")
    with reading(installation.engine) as connection:
        file = tmp_path / "items.csv"
        import_table(connection, installation.lake, "recs", file, key="id", rejects_path=tmp_path / "rejects")
    (tmp_path / "hero.gif").write_bytes(GIF)
    add_medium(installation, tmp_path / "hero.gif", "hero.gif")
    codes(installation, tmp_path, "C1\nC2\nC3\nC4\nC5\nC6\n")
    for name, text in FILES.items():
        file = tmp_path / "definitions" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    yield installation
    installation.engine.dispose()


def codes(installation: Installation, folder: Path, text: str) -> None:
    (folder / "codes").write_text(text)
    with writing(installation.engine) as connection:
        import_codes(connection, "spring", folder / "codes", rejects_path=folder / "rejects")


def started(place: Installation, folder: Path, as_of: datetime = AT) -> str:
    """A run whose audience is frozen."""
    apply_folder(place, folder / "definitions")
    write_snapshot(place.engine, place.lake)
    with writing(place.engine) as connection:
        run_id = request_run(connection, "spring-sale", as_of, requested_by="cli", at=AT)
        library = load_segments(connection)
    place.lake.write(members(place.lake, library["everybody"], library, as_of), "segment_members", run_id)
    freeze_audience(place, run_id)
    return run_id


def texts(place: Installation, run_id: str) -> dict[str, tuple[str, str]]:
    """contact id -> variant, html."""
    messages = write_messages(place, run_id)[1].collect()
    html = {name: parts["html"] for name, parts in assemble(place.lake.read("skeletons", run_id), messages)}
    rows = messages.select("contact_id", "variant", "message_id").iter_rows()
    return {contact: (variant, html[message]) for contact, variant, message in rows}


def test_each_contact_reads_its_own(place: Installation, tmp_path: Path) -> None:
    run_id = started(place, tmp_path)
    found = texts(place, run_id)
    assert len(found) == PEOPLE
    assert {variant for variant, _ in found.values()} == {"a", "b"}
    with reading(place.engine) as connection:
        url = place.settings.media_url("")
        html = load_template(connection, "with").template.html
        assert html is not None
        assert html.startswith(f'<img src="{url}')
    image = html.partition('"')[2].partition('"')[0]
    expected_codes = iter(["C1", "C2", "C3", "C4", "C5", "C6"])
    goods = {"1": "<p>Lamp &lt;2&gt;</p><p>Sofa</p>", "0": "<p>Chair</p>"}
    by_id = {contact_id(str(n)): str(n) for n in range(PEOPLE)}
    for contact in sorted(found):
        variant, text = found[contact]
        person = by_id[contact]
        if variant == "b":
            assert text.strip() == "<p>h</p>"
            continue
        gold = "<p>Gold</p>" if int(person) % 2 else ""
        expected = f'<img src="{image}">{gold}{goods.get(person, "")}<p>{next(expected_codes)}</p>'
        assert text.strip() == expected
    with reading(place.engine) as connection:
        used = sum(variant == "a" for variant, _ in found.values())
        assert pool_counts(connection).rows() == [("spring", None, PEOPLE - used), ("spring", run_id, used)]
    assert texts(place, run_id) == found


def test_fields_that_no_template_reads_change_nothing(
    place: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = started(place, tmp_path)
    found = write_messages(place, run_id)[1].collect()
    everything: list[object] = []
    monkeypatch.setattr(rendering, "contact_fields", everything.append)  # None: any field may be read
    assert write_messages(place, run_id)[1].collect().equals(found)
    assert len(everything) == 1


def test_the_preview_needs_no_code(place: Installation, tmp_path: Path) -> None:
    run_id = started(place, tmp_path)
    run, _ = freeze_audience(place, run_id)
    shown = preview_messages(place, run)["a"]["html"]
    assert "<p>Gold</p><p>title 1</p><p>title 2</p><p>title 3</p><p>EXAMPLE-CODE</p>" in shown
    with reading(place.engine) as connection:
        assert pool_counts(connection).rows() == [("spring", None, 6)]


def test_too_few_codes_stop_the_run_before_it_is_sent(place: Installation, tmp_path: Path) -> None:
    first = started(place, tmp_path)
    used = sum(variant == "a" for variant, _ in texts(place, first).values())
    second = started(place, tmp_path, datetime(2026, 3, 3, tzinfo=UTC))
    codes(place, tmp_path, "".join(f"D{n}\n" for n in range(PEOPLE)))
    elsewhere = [f"{n:024x}" for n in range(2 * PEOPLE - used - (used - 1))]
    with writing(place.engine) as connection:
        reserve(connection, "another", {"spring": pl.Series(elsewhere)}, AT)
    with pytest.raises(Refused, match=f"{second} needs {used} codes of pool 'spring', which has {used - 1} free"):
        write_messages(place, second)
    assert not place.lake.exists("messages", second)
    codes(place, tmp_path, "E1\n")
    assert len(texts(place, second)) == PEOPLE


def test_codes_of_a_cancelled_run_are_free_again_unless_they_may_have_been_sent(
    place: Installation, tmp_path: Path
) -> None:
    run_id = started(place, tmp_path)
    used = sum(variant == "a" for variant, _ in texts(place, run_id).values())
    with pytest.raises(Refused, match="its codes may still go out"):
        release_codes(place, run_id)
    messages = place.lake.read("messages", run_id)
    of_a = messages.filter(pl.col("variant") == "a")["batch_no"].unique().to_list()
    with writing(place.engine) as connection:
        move_run(connection, run_id, RunState.CANCELLED, actor="test", at=AT)
    claim: dict[str, Any] = {"run_id": run_id, "attempt": 1, "worker": "w", "claimed_at": AT}
    with writing(place.engine) as connection:
        connection.execute(sa.insert(claims), [claim | {"batch_no": number} for number in of_a])
    assert release_codes(place, run_id) == 0
    with writing(place.engine) as connection:
        connection.execute(sa.delete(claims))
    assert release_codes(place, run_id) == used
    with reading(place.engine) as connection:
        assert pool_counts(connection).rows() == [("spring", None, 6)]


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("segments.gold", "segments.glod", r"html, line 1: segments.glod does not exist; did you mean segments.gold\?"),
        ("tables.recs", "tables.resc", r"html, line 1: tables.resc does not exist; did you mean tables.recs\?"),
        ("coupons.spring", "coupons.sprin", r"coupons.sprin does not exist; did you mean coupons.spring\?"),
        ("hero.gif", "hreo.gif", r"html, line 1: there is no medium 'hreo.gif'; did you mean 'hero.gif'\?"),
    ],
)
def test_what_does_not_exist_cannot_be_applied(
    place: Installation, tmp_path: Path, right: str, wrong: str, problem: str
) -> None:
    file = tmp_path / "definitions" / "templates" / "with.yaml"
    file.write_text(file.read_text().replace(right, wrong))
    with pytest.raises(InvalidInput, match=f"template with: .*{problem}"):
        apply_folder(place, tmp_path / "definitions")
    with reading(place.engine) as connection:
        assert load_segments(connection) == {}


def test_a_table_that_is_gone_is_told_before_a_code_is_handed_out(place: Installation, tmp_path: Path) -> None:
    run_id = started(place, tmp_path)
    place.lake.path("contact_tables", "recs").unlink()
    with pytest.raises(NotFound, match="contact table 'recs' does not exist"):
        write_messages(place, run_id)
    with reading(place.engine) as connection:
        assert pool_counts(connection).rows() == [("spring", None, 6)]


def test_a_template_keeps_the_image_that_it_was_applied_with(place: Installation, tmp_path: Path) -> None:
    apply_folder(place, tmp_path / "definitions")
    with reading(place.engine) as connection:
        before = load_template(connection, "with")
    (tmp_path / "hero.gif").write_bytes(GIF[:-2] + b"\x01;")
    assert add_medium(place, tmp_path / "hero.gif", "hero.gif")[0] == "changed"
    with reading(place.engine) as connection:
        assert load_template(connection, "with") == before
    changed = [each.name for each in apply_folder(place, tmp_path / "definitions") if each.change == "changed"]
    assert changed == ["with"]
    assert len(list(place.settings.media_folder.iterdir())) == 2


def test_images_are_published_too(settings: Settings, engine: sa.Engine, tmp_path: Path) -> None:
    changes = {"media_publish_dir": str(tmp_path / "www"), "media_base_url": "https://img.example.com/a/"}
    installation = Installation(settings.model_copy(update=changes))
    (tmp_path / "dot.gif").write_bytes(GIF)
    _, medium = add_medium(installation, tmp_path / "dot.gif", "hero.gif")
    assert (tmp_path / "www" / medium.file).read_bytes() == GIF
    assert installation.settings.media_url(medium.file) == f"https://img.example.com/a/{medium.hash}.gif"
    installation.engine.dispose()
