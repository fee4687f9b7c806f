"""A contact with unmistakable data goes through everything; the export finds it all, and the erasure leaves nothing."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.cli.output import show_json
from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.lists import LISTS, TAGS, add
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping
from campaign_pipeline.contacts.suppression import erased_hash
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.tables import metadata
from campaign_pipeline.core.words import AudienceStatus, Channel
from campaign_pipeline.messages.contact_tables import import_table
from campaign_pipeline.messages.coupons import import_codes, reserve
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.attribution import count_conversions
from campaign_pipeline.operations.figures import figures_of_contacts
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.memberships import evaluate_touched
from campaign_pipeline.operations.privacy import erasure as module
from campaign_pipeline.operations.privacy import stores
from campaign_pipeline.operations.privacy.erasure import erase_contact
from campaign_pipeline.operations.privacy.export import export_contact
from campaign_pipeline.operations.results import measure_facts, measure_metrics
from campaign_pipeline.operations.snapshot import take_snapshot
from campaign_pipeline.sandbox.behaviour import Behaviour, EmailRates, TextRates
from campaign_pipeline.sandbox.ground_truth import address_hash
from campaign_pipeline.segments.event_store import build_features
from tests.rehearsal import AS_OF, Rehearsal, rehearsal
from tests.searching import everywhere, forms

EXTERNAL = "KX-zephyrine-4471"
CONTACT = ids.contact_id(EXTERNAL)
OTHERS = [f"plain-{number}" for number in range(12)]
CAMPAIGNS = ("mail", "text")
RUNS = {campaign: ids.run_id(campaign, AS_OF) for campaign in (*CAMPAIGNS, "later")}
MESSAGES = {ids.message_id(run, CONTACT, channel) for run in RUNS.values() for channel in Channel}

PLANTED = {
    "external id": EXTERNAL,
    "first name": "Zephyrine",
    "last name": "Quillfeather",
    "former e-mail": "old.zephyrine@unmistakable.test",
    "e-mail": "new.quillfeather@unmistakable.test",
    "phone": "12125550147",
    "raw phone": "(212) 555-0147",
    "attribute": "Moonbadger77",
    "property": "ultraviolet-umbrella-9931",
    "list": "source-named-zephyrine",
    "rejected": "birthday-of-Quillfeather",
}
"""What is told by the contact; all of it must be found, and then none."""

DERIVED = {"contact id": CONTACT} | {f"message id {message}": message for message in sorted(MESSAGES)}


# ---- the installation ---------------------------------------------------------------------------------------------


def person(external: str, name: tuple[str, str], email: str, phone: str, nickname: str) -> dict[str, str]:
    return {"id": external, "first": name[0], "last": name[1], "mail": email, "tel": phone, "nickname": nickname}


def take_in(installation: Installation, folder: Path, name: str, rows: list[dict[str, str]]) -> None:
    mapping = ContactMapping.model_validate(
        {
            **{"id": "id", "email": "mail", "phone": "tel", "first_name": "first", "last_name": "last"},
            "attributes": {"nickname": "nickname"},
            "consent": {"email": "granted", "sms": "granted", "whatsapp": "granted"},
        }
    )
    file = folder / f"{name}.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    rejects = installation.settings.data_dir / "rejects" / f"{name}-rejects.csv"
    import_contacts(installation.engine, file, mapping, clock=installation.clock, rejects_path=rejects)


def definitions(folder: Path) -> Path:
    texts = {
        "segments/everybody.yaml": "segment: everybody\nwhere: {trait: {field: external_id, is_set: true}}\n",
        "templates/mail.yaml": (
            "template: mail\nchannel: email\nsubject: 'Dear {{ contact.first_name }}'\n"
            'html: \'<p>{{ contact.nickname }} <a href="https://x.test/?who={{ contact.last_name }}">x</a>'
            '<a href="{{ unsubscribe_url }}">no more</a></p>\'\n'
            "text: '{{ contact.nickname }} {{ unsubscribe_url }}'\n"
        ),
        "templates/text.yaml": "template: text\nchannel: sms\nbody: 'Dear {{ contact.last_name }}. STOP to opt out'\n",
    }
    for name, channel in (("mail", "email"), ("text", "sms"), ("later", "email")):
        template = "text" if channel == "sms" else "mail"
        texts[f"campaigns/{name}.yaml"] = (
            f"campaign: {name}\nchannel: {channel}\nsegment: everybody\n"
            f"variants: [{{name: one, weight: 1, template: {template}}}, "
            f"{{name: two, weight: 1, template: {template}}}]\n"
            "conversion: {value: ''}\n"
        )
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def people(email: str) -> list[dict[str, str]]:
    planted = person(EXTERNAL, ("Zephyrine", "Quillfeather"), email, "(212) 555-0147", "Moonbadger77")
    others = [
        person(name, ("Ann", "Other"), f"{name}@others.test", f"(212) 555-01{number:02}", "none")
        for number, name in enumerate(OTHERS)
    ]
    return [planted, *others]


def live(town: Rehearsal, folder: Path) -> None:
    """Everything that can happen to a contact."""
    installation = town.installation
    first = people("Old.Zephyrine@Unmistakable.test")
    contradicted = first[0] | {"nickname": "birthday-of-Quillfeather"}
    apply_folder(installation, definitions(folder / "definitions"))
    take_in(installation, folder, "contradicted", [contradicted, *first])
    take_in(installation, folder, "first", first)
    orders = folder / "orders.csv"
    orders.write_text(
        "who,day,sku\n"
        + "".join(f"{name},2026-02-0{n % 9 + 1},sku-{n}\n" for n, name in enumerate(OTHERS))
        + f"{EXTERNAL},2026-02-03,ultraviolet-umbrella-9931\n"
        + "".join(f"{name},2026-03-04,sku-1\n" for name in (OTHERS[0], EXTERNAL))
    )
    mapping = EventMapping.model_validate({"contact": "who", "event": "purchase", "at": "day", "properties": "rest"})
    rejects = installation.settings.data_dir / "rejects" / "orders-rejects.csv"
    import_events(
        installation.engine, installation.lake, orders, mapping, clock=installation.clock, rejects_path=rejects
    )
    items = folder / "items.csv"
    items.write_text(f"who,sku\n{EXTERNAL},ultraviolet-umbrella-9931\n")
    codes = folder / "codes.txt"
    codes.write_text("CODE-1\n")
    with writing(installation.engine) as connection:
        import_table(connection, installation.lake, "recommended", items, key="who", rejects_path=folder / "no.csv")
        import_codes(connection, "spring", codes, rejects_path=folder / "none.csv")
        reserve(connection, RUNS["mail"], {"spring": pl.Series([CONTACT])}, installation.clock())
        for labels, name in ((LISTS, "insiders"), (TAGS, "vip")):
            for who, source in ((CONTACT, "source-named-zephyrine"), (ids.contact_id(OTHERS[0]), "test")):
                add(connection, labels, name, pl.Series([who]), source=source, at=installation.clock())
    take_snapshot(installation)
    evaluate_touched(installation, ["everybody"])
    town.run("mail")
    take_in(installation, folder, "second", people("New.Quillfeather@Unmistakable.test"))
    town.run("text")
    town.take_in_events()
    figures_of_contacts(installation)
    build_features(installation.lake)


@pytest.fixture(params=["sqlite", pytest.param("postgres", id="postgres")])
def town(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    if request.param == "postgres":
        monkeypatch.setenv("CAMPAIGN_DATABASE_URL", request.getfixturevalue("postgres_url"))
    email = EmailRates(delivered=1, bounced=0, blocked=0, opened=1, clicked=1, unsubscribed=1, machine_open=1)
    text = TextRates(delivered=1, undelivered={}, replied=1, replies={"STOP": 1})
    with rehearsal(tmp_path, Behaviour(email=email, text=text)) as town:
        live(town, tmp_path)
        yield town


# ---- tests --------------------------------------------------------------------------------------------------------


def figures(installation: Installation) -> dict[str, Any]:
    """What must be the same after an erasure as before: all but what contacts did elsewhere, which is removed."""
    counted: dict[str, Any] = {}
    for campaign in CAMPAIGNS:
        measure_facts(installation, RUNS[campaign])
        metrics = measure_metrics(installation, RUNS[campaign])
        audience = installation.lake.read("audience", RUNS[campaign])
        events = pl.concat(
            [installation.lake.read("delivery_events", day) for day in installation.lake.partitions("delivery_events")]
        )
        counted[campaign] = metrics.drop(EARNED).to_dicts(), audience["status"].to_list().count("planned")
        counted[f"{campaign} events"] = events.filter(run_id=RUNS[campaign])["message_id"].n_unique(), events.height
    return counted


EARNED = (
    *("converted", "conversions", "revenue", "attributed_conversions", "attributed_revenue"),
    *("conversion_rate", "conversion_rate_low", "conversion_rate_high"),
)


def conversions(installation: Installation) -> set[str]:
    """Who converted, by the tables of the campaigns' runs; what is told of them elsewhere says the same."""
    lake, found = installation.lake, set[str]()
    for run in (RUNS[campaign] for campaign in CAMPAIGNS):
        converted = lake.read("conversions", run)["contact_id"]
        facts = lake.read("message_facts", run)
        assert facts.filter(pl.col("conversions") > 0)["contact_id"].to_list() == converted.to_list()
        assert facts["attributed_conversions"].sum() == lake.read("conversions", run)["credit"].sum()
        found |= set(converted)
    return found


def check_that_every_place_is_named(installation: Installation) -> None:
    named = {*stores.FOLDERS, *stores.NOT_PERSONAL}
    there = {path.name for path in installation.settings.data_dir.iterdir()}
    assert there - {"campaigns.db-wal", "campaigns.db-shm"} <= named
    assets = {*(asset.name for asset in stores.ASSETS), *stores.lake.NOT_PERSONAL, *stores.lake.DROPPED}
    assert {path.name for path in installation.lake.root.iterdir()} <= assets


def test_export_finds_everything_and_erasure_leaves_nothing(
    town: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    installation = town.installation
    check_that_every_place_is_named(installation)
    before = everywhere(installation, PLANTED)
    exported = export_contact(installation, EXTERNAL)
    capsys.readouterr()
    show_json(exported)
    text = capsys.readouterr().out.lower()

    assert {
        name for name, needle in PLANTED.items() if not any(form in text.encode() for form in forms(needle))
    } == set()
    empty = {name for name, rows in exported["held"].items() if not rows}
    assert empty == {
        "table runs",  # no error named the contact
        "table rollout_parts",  # nobody rolled out, and no reason named the contact
        "table rollout_stops",
        "table state_changes",
        "table contacted",  # the team has no caps
        "table conversations",  # nobody wrote to us
    }
    assert export_contact(installation, CONTACT)["held"].keys() == exported["held"].keys()
    assert len(before) > 30
    counted = figures(installation)
    assert conversions(installation) == {CONTACT, ids.contact_id(OTHERS[0])}
    sends = town.sandbox.sends().height

    erased = erase_contact(installation, EXTERNAL, actor="test")

    assert not erased.resumed
    assert everywhere(installation, PLANTED | DERIVED) == set()
    assert not list((installation.settings.data_dir / "erasures").glob("*"))
    assert conversions(installation) == {ids.contact_id(OTHERS[0])}  # before they are measured again, and after
    assert figures(installation) == counted
    assert conversions(installation) == {ids.contact_id(OTHERS[0])}
    held = {run: installation.lake.read("conversions", run) for run in map(RUNS.__getitem__, CAMPAIGNS)}
    before_start = {run: installation.lake.read("pre_period", run) for run in held}
    for run, frame in held.items():
        count_conversions(installation, run)
        assert installation.lake.read("conversions", run).equals(frame)
        assert installation.lake.read("pre_period", run).equals(before_start[run])
    for campaign in CAMPAIGNS:
        town.run(campaign)  # again: what was planned fits what is there
        assert town.account(RUNS[campaign]).messages == {"accepted": len(OTHERS) + 1}
    assert town.sandbox.sends().height == sends
    with pytest.raises(NotFound, match="nothing is held"):
        erase_contact(installation, EXTERNAL, actor="test")


def test_only_the_keyed_hash_stays_and_it_keeps_the_address_from_being_sent_to(town: Rehearsal, tmp_path: Path) -> None:
    installation = town.installation
    erase_contact(installation, CONTACT, actor="test")
    with reading(installation.engine) as connection:
        suppressions = metadata.tables["suppressions"]
        hashed = set(connection.execute(sa.select(suppressions.c.address).where(suppressions.c.hashed)).scalars())
    addresses = ["old.zephyrine@unmistakable.test", "new.quillfeather@unmistakable.test", "+12125550147"]
    assert {erased_hash(address, installation.settings.link_secret) for address in addresses} <= hashed

    again = people("New.Quillfeather@unmistakable.test")
    planted, *others = [row | {"id": f"reborn-{row['id']}"} for row in again]
    take_in(installation, tmp_path, "again", [planted, *(row | {"mail": f"new-{row['mail']}"} for row in others)])
    snapshot = take_snapshot(installation).frame.filter(external_id=f"reborn-{EXTERNAL}")
    assert snapshot.select("consent_email", "reachable_email", "reachable_sms").rows() == [(True, False, False)]
    run_id = town.run("later")
    audience = installation.lake.read("audience", run_id)
    found = audience.filter(contact_id=ids.contact_id(f"reborn-{EXTERNAL}"))
    assert found.select("status", "reason").rows() == [(AudienceStatus.SUPPRESSED, "erased")]
    assert sorted(town.sends(run_id)["to_hash"]) == sorted(address_hash(f"new-{name}@others.test") for name in OTHERS)


class Killed(BaseException):
    """The process ends."""


def test_an_erasure_that_was_killed_completes_when_begun_again(
    town: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at every step there is, one after the other."""
    installation = town.installation
    counted = figures(installation)
    steps = 0
    for attempt in range(300):
        left = [attempt // 3]

        def step(name: str, original: Any, left: list[int] = left) -> Any:
            def counted_down(*arguments: Any, **named: Any) -> Any:
                if left[0] == 0:
                    raise Killed(name)
                left[0] -= 1
                return original(*arguments, **named)

            return counted_down

        with monkeypatch.context() as patch:
            for name in ("_suppress", "_record", "_plan_again", "_erase_rows", "drop_features", "remove_free_pages"):
                patch.setattr(module, name, step(name, getattr(module, name)))
            for store in (module.inbox, module.rejects):
                patch.setattr(store, "erase", step("files", store.erase))
            write = type(installation.lake).write
            patch.setattr(type(installation.lake), "write", step("write", write))
            try:
                erased = erase_contact(installation, EXTERNAL, actor="test")
            except Killed:
                steps += 1
                continue
        assert erased.resumed
        break
    assert steps > 20
    assert everywhere(installation, PLANTED | DERIVED) == set()
    assert figures(installation) == counted
    for campaign in CAMPAIGNS:
        assert town.account(RUNS[campaign]).messages == {"accepted": len(OTHERS) + 1}
