"""`campaigns messages show`: all of it, one part to the letter, and one JSON object."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.store import apply_campaign, request_run
from campaign_pipeline.core.database import open_database, writing
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import Channel, Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.ledger import OutcomeRow, Source
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.render import render_run
from campaign_pipeline.messages.store import StoredTemplate
from tests.rehearsal import AS_OF

Campaigns = Callable[..., Any]
BODY = "Hi {{ contact.first_name }}, [bold]50 %[/] off\n\n"


@pytest.fixture
def message_ids(home: Path, campaigns: Campaigns) -> list[str]:
    """Two messages of one SMS run; the first was rejected, the second not claimed yet."""
    assert campaigns("init").code == 0
    engine = open_database(f"sqlite:///{home / 'data' / 'campaigns.db'}")
    given = {"campaign": "flash", "channel": "sms", "segment": "s"}
    campaign = Campaign.model_validate(given | {"variants": [{"name": "a", "weight": 1, "template": "t"}]})
    with writing(engine) as connection:
        apply_campaign(connection, campaign, AS_OF)
        run_id = request_run(connection, "flash", AS_OF, requested_by="test", at=AS_OF)
    audience = pl.DataFrame(
        {
            "contact_id": ["a" * 24, "b" * 24],
            "status": "planned",
            "variant": "a",
            "address": ["+12025550101", "+12025550102"],
            "send_at": AS_OF,
            "locale": "en",
            "contact": [{"first_name": "Ann"}, {"first_name": "Bob"}],
        }
    )
    rendered = render_run(
        audience,
        {"a": StoredTemplate(Template(template="t", channel=Channel.SMS, body=BODY), 1, "0" * 24)},
        run_id=run_id,
        campaign="flash",
        channel=Channel.SMS,
        public_url="http://127.0.0.1",
        link_secret=SecretStr("k"),
        batch_size=1,
    ).whole()
    lake = Lake(home / "data" / "lake")
    lake.write(rendered.skeletons, "skeletons", run_id)
    lake.write(rendered.messages, "messages", run_id)
    ledger.claim(engine, run_id, 0, 1, "w", AS_OF)
    refused = OutcomeRow(run_id, 0, 1, Source.SEND, Outcome.REJECTED, "21610", "", AS_OF)
    ledger.append_outcomes(engine, [refused])
    engine.dispose()
    return rendered.messages["message_id"].to_list()


def test_a_part_is_printed_to_the_letter(campaigns: Campaigns, message_ids: list[str]) -> None:
    called = campaigns("messages", "show", message_ids[0], "--part", "body")
    assert (called.code, called.out) == (0, "Hi Ann, [bold]50 %[/] off\n\n"[:-1])


def test_all_of_it_is_shown(campaigns: Campaigns, message_ids: list[str]) -> None:
    out = campaigns("messages", "show", message_ids[0]).out
    for word in ("flash--20260302t090000z", "+12025550101", "rejected", "21610", "Hi Ann, [bold]50 %[/] off"):
        assert word in out


def test_as_json(campaigns: Campaigns, message_ids: list[str]) -> None:
    first, second = (campaigns("messages", "show", each, "--json").json for each in message_ids)
    assert first["parts"] == {"body": "Hi Ann, [bold]50 %[/] off\n"}
    assert (first["contact_id"], first["state"], first["code"], first["attempts"]) == ("a" * 24, "rejected", "21610", 1)
    assert first["claimed_at"] == "2026-03-02T09:00:00+00:00"
    assert (second["state"], second["attempts"], second["claimed_at"]) == ("planned", 0, None)


def test_what_is_not_there_is_said(campaigns: Campaigns, message_ids: list[str]) -> None:
    assert "Its parts are: body" in campaigns("messages", "show", message_ids[0], "--part", "html").err
    assert campaigns("messages", "show", message_ids[0], "--run", "flash--20200101t000000z").code == 3
    assert campaigns("messages", "show", "0" * 24).code == 3
    assert campaigns("messages", "show", "Ann").code == 2
