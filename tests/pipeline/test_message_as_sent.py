"""What `messages show` says was sent, against what the sandbox received: byte for byte, on every channel."""

import shutil
from collections.abc import Iterator

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.store import load_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.demo.town import take_in_people
from campaign_pipeline.messages.sent import SentMessage
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.messages import message_account
from campaign_pipeline.operations.runs import preview_messages
from campaign_pipeline.sandbox.ground_truth import content_hash, email_hash, text_hash
from tests.rehearsal import Rehearsal, rehearsal

PEOPLE = 1_500  # of whom more than ten get WhatsApp: marketing by it does not go to the United States
HOSTILE = "Ann\r\nBcc: eve@evil.example\r\n\r\n<script>{{ 7*7 }}</script>-x-\u2028Ö"


@pytest.fixture(scope="module")
def small_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """The sample campaigns, the e-mail one with parameters and our redirect, to people who are all called HOSTILE."""
    folder = tmp_path_factory.mktemp("small-town")
    definitions = folder / "definitions"
    shutil.copytree(SAMPLE_DEFINITIONS_DIR, definitions)
    file = definitions / "campaigns" / "spring-sale.yaml"
    file.write_text(file.read_text() + "utm: {source: news & more}\ntrack_clicks: own\n")
    (definitions / "sending.yaml").write_text("quiet_hours: {channels: []}\n")  # everybody is sent to at once
    with rehearsal(folder) as town:
        take_in_people(town.installation, folder / "people", PEOPLE)
        with writing(town.installation.engine) as connection:
            now = town.installation.clock()
            connection.execute(sa.update(contacts).values(first_name=HOSTILE, updated_at=now))
        apply_folder(town.installation, definitions)
        yield town


def hash_of(message: SentMessage) -> str:
    parts = message.parts
    if "html" in parts:
        return email_hash(parts["subject"], (parts["text"], parts["html"]))
    if "body" in parts:
        return text_hash(parts["body"])
    variables = {name.removeprefix("var:"): text for name, text in parts.items() if name.startswith("var:")}
    return content_hash(parts["content_sid"], variables)


@pytest.mark.parametrize("campaign", ["spring-sale", "win-back", "vip-preview"])
def test_what_is_shown_is_what_the_provider_received(small_town: Rehearsal, campaign: str) -> None:
    run_id = small_town.run(campaign)
    sends = small_town.sends(run_id)
    assert sends.height > 10
    addresses = dict(small_town.installation.lake.read("messages", run_id).select("message_id", "address").iter_rows())
    some = sends.select("message_id", "body_hash", "sid").head(60)
    for number, (message_id, body_hash, sid) in enumerate(some.iter_rows()):
        account = message_account(small_town.installation, message_id, run_id if number else None)
        assert hash_of(account.message) == body_hash
        assert (account.message.run_id, account.message.address) == (run_id, addresses[message_id])
        assert (account.state, account.provider_id, account.attempts) == ("accepted", sid, 1)
        assert account.claimed_at is not None
        for part in ("subject", "var:1"):  # a header, and a variable that WhatsApp refuses with a line break
            if part in account.message.parts:
                assert len(account.message.parts[part].splitlines()) == 1
    if campaign == "spring-sale":
        html = account.message.parts["html"]
        assert "Bcc: eve@evil.example" in account.message.parts["subject"]
        assert f"{small_town.installation.settings.public_url}/r/" in html
        assert "<script" not in html


def test_an_unknown_message_and_one_of_another_run_are_not_found(small_town: Rehearsal) -> None:
    run_id = small_town.run("win-back")
    message_id = small_town.installation.lake.read("messages", run_id)["message_id"][0]
    assert message_account(small_town.installation, message_id).message.run_id == run_id
    for wrong in ((message_id, "spring-sale--20260302t090000z"), ("0" * 24, None)):
        with pytest.raises(NotFound, match="is not in"):
            message_account(small_town.installation, *wrong)


def test_clicks_are_ours_where_the_campaign_says_so(small_town: Rehearsal) -> None:
    """SendGrid is told to leave the links alone, and the sandbox's recipients follow them to our receiver."""
    run_id = small_town.run("spring-sale")
    small_town.take_in_events()
    lake = small_town.installation.lake
    events = pl.concat([lake.read("delivery_events", day) for day in lake.partitions("delivery_events")])
    clicks = events.filter(pl.col("type") == "clicked", pl.col("run_id") == run_id)
    assert clicks.height > 0
    assert clicks["provider"].unique().to_list() == ["own"]
    assert clicks["url"].str.contains("utm_source=news%20%26%20more").all()
    facts = lake.read("message_facts", run_id)
    assert set(facts.filter(pl.col("clicked_at").is_not_null())["message_id"]) == set(clicks["message_id"])


def test_previews_show_the_parameters_and_lead_through_no_redirect(small_town: Rehearsal) -> None:
    run_id = small_town.request("spring-sale")
    with reading(small_town.installation.engine) as connection:
        run = load_run(connection, run_id)
    previews = preview_messages(small_town.installation, run)
    assert sorted(previews) == ["emoji", "plain"]
    for variant, parts in previews.items():
        assert "utm_source=news%20%26%20more" in parts["html"]
        assert parts["html"].count("utm_content=") == parts["html"].count(
            f"utm_content={variant}"
        )  # the template's own
        assert "/r/" not in parts["html"]
        assert "utm_source" not in parts["text"]
