"""Mail servers and webhooks from end to end: consent in an import, a segment, a campaign, and what was sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from campaign_pipeline.cli.app import app
from campaign_pipeline.core.words import AudienceStatus
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.sandbox.ground_truth import address_hash, text_hash
from tests.rehearsal import Rehearsal, rehearsal

PEOPLE = """no,mail,app,news
C-1,ann@example.com,yes,yes
C-2,,yes,
bob@x,bob@example.com,yes,yes
C-4,dora@example.com,no,yes
C-5,eve@example.com,,no
"""
DEFINITIONS = {
    "segments/app_users.yaml": "segment: app_users\nwhere: {reachable: webhook}\n",
    "segments/readers.yaml": "segment: readers\nwhere: {reachable: email}\n",
    "templates/push.yaml": (
        "template: push\nchannel: webhook\n"
        'body: \'{"title": {{ contact.external_id | tojson }}, "text": "5 < 6 & more"}\'\n'
    ),
    "templates/letter.yaml": (
        "template: letter\nchannel: email\nsubject: Hello\ntext: Hi\n"
        "html: '<p>Hi</p><a href=\"{{ unsubscribe_url }}\">out</a>'\n"
    ),
    "campaigns/push.yaml": (
        "campaign: push\nchannel: webhook\nsegment: app_users\nvariants: [{name: one, weight: 1, template: push}]\n"
    ),
    "campaigns/letter.yaml": (
        "campaign: letter\nchannel: email\nsegment: readers\nvariants: [{name: one, weight: 1, template: letter}]\n"
    ),
}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("other")
    people = folder / "people.csv"
    people.write_text(PEOPLE)
    for name, text in DEFINITIONS.items():
        file = folder / "definitions" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CAMPAIGN_EMAIL_PROVIDER", "smtp")
        with rehearsal(folder) as town:
            _import(people, "id=no", "email=mail", "consent.webhook=app", "consent.email=news")
            apply_folder(town.installation, folder / "definitions")
            yield town


def _import(file: Path, *mapping: str) -> None:
    pairs = [word for pair in mapping for word in ("-m", pair)]
    called = CliRunner().invoke(app, ["contacts", "import", str(file), *pairs])
    assert called.exit_code == 0, called.output


def test_a_webhook_campaign_reaches_who_allowed_it_by_their_external_ids(town: Rehearsal) -> None:
    run_id = town.run("push")
    sends = town.sends(run_id)
    ids = ["C-1", "C-2", "bob@x"]
    assert set(sends["to_hash"]) == {address_hash(each) for each in ids}
    assert set(sends["body_hash"]) == {text_hash(f'{{"title": "{each}", "text": "5 < 6 & more"}}') for each in ids}
    assert (set(sends["channel"]), set(sends["provider"])) == ({"webhook"}, {"webhook"})
    assert town.account(run_id).messages == {"accepted": 3}
    audience = town.installation.lake.read("audience", run_id)
    assert set(audience["status"]) == {AudienceStatus.PLANNED}


def test_an_email_campaign_goes_through_the_mail_server(town: Rehearsal) -> None:
    run_id = town.run("letter")
    sends = town.sends(run_id)
    assert set(sends["to_hash"]) == {address_hash(f"{name}@example.com") for name in ("ann", "bob", "dora")}
    assert (set(sends["provider"]), sends.height) == ({"smtp"}, 3)
    assert town.account(run_id).messages == {"accepted": 3}
