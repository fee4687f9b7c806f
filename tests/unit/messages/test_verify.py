"""The sample of a run that is rendered twice; and several processes render what one does."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages import workers
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.render import Rendered, render_run
from campaign_pipeline.messages.skeletons import assemble, read_skeletons
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.vectorised.assemble import assembled_frame
from campaign_pipeline.messages.verify import SAMPLED, final, sample_of, verify_sample

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
HELLO = "{{ contact.first_name | default('there', true) }} {{ contact.points }}"


def audience(contacts: int, points: int | None = 3) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "contact_id": [f"{number:024x}" for number in range(contacts)],
            "status": "planned",
            "variant": ["ab"[number % 2] for number in range(contacts)],
            "locale": "en",
            "address": [f"c{number}@example.com" for number in range(contacts)],
            "send_at": pl.Series([AT] * contacts, dtype=pl.Datetime("us", "UTC")),
            "contact": [{"first_name": f"<N{number % 7}>", "points": points} for number in range(contacts)],
        }
    )


def rendered(frame: pl.DataFrame, **changes: Any) -> Rendered:
    template = Template(template="t", channel=Channel.EMAIL, subject=HELLO, html=HELLO, text="{{ unsubscribe_url }}")
    return render_run(
        frame,
        dict.fromkeys("ab", StoredTemplate(template, 1, "0" * 24)),
        run_id="spring--20260302t090000z",
        campaign="spring",
        channel=Channel.EMAIL,
        public_url="https://n.example.com",
        link_secret=SecretStr("a-key"),
        batch_size=100,
        **changes,
    ).whole()


def test_a_sample_is_what_is_sent() -> None:
    result = rendered(audience(500))
    assert result.sample.height == SAMPLED
    gate = verify_sample(result.sample, result.messages)
    assert (gate.passed, gate.found, gate.blocking) == (True, 0, True)
    assert gate.description == "50 messages are what Jinja2 alone makes of them"


def test_one_letter_that_differs_is_found_and_its_message_named() -> None:
    result = rendered(audience(20))
    message = result.sample["message_id"][3]
    other = pl.when(pl.col("message_id") == message).then(pl.lit(["x"])).otherwise("fragments")
    gate = verify_sample(result.sample, result.messages.with_columns(fragments=other))
    assert (gate.passed, gate.found) == (False, 1)
    assert gate.description == f"1 of 20 messages are not what Jinja2 alone makes of them: {message}"


def test_a_message_that_is_not_there_is_found() -> None:
    result = rendered(audience(20))
    assert verify_sample(result.sample, result.messages.head(15)).found == 5


@pytest.mark.parametrize("contacts", [0, 1, 49, 50, 51, 1_234])
def test_a_sample_is_spread_over_variants_and_rows(contacts: int) -> None:
    planned = audience(contacts).sort("variant")
    sample = sample_of(planned)
    assert min(contacts, 50) <= sample.height <= max(50, min(contacts, 51))
    sizes = sample["variant"].value_counts()["count"].to_list()
    assert not sizes or max(sizes) - min(sizes) <= 1
    if contacts > 1_000:
        assert sample["contact_id"].to_list() != planned.head(sample.height)["contact_id"].to_list()


def test_whole_texts_by_column_are_those_of_each_message() -> None:
    result = rendered(audience(9))
    by_column = {
        row.pop("message_id"): row
        for frame in assembled_frame(read_skeletons(result.skeletons), result.messages)
        for row in frame.to_dicts()
    }
    assert by_column == dict(assemble(result.skeletons, result.messages))


def test_final_messages_pass() -> None:
    assert final().passed


def test_several_processes_render_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = audience(700)
    one = rendered(frame)
    monkeypatch.setattr(workers, "WORTH_IT", 0)
    monkeypatch.setattr(workers, "CHUNK", 90)
    seen: list[tuple[int, int]] = []
    several = rendered(frame, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert_frame_equal(one.messages, several.messages)
    assert_frame_equal(one.skeletons, several.skeletons)
    assert seen[-1] == (700, 700)
    assert len(seen) == 8
    with pytest.raises(InvalidInput) as alone:
        rendered(audience(200, points=None), workers=1)
    with pytest.raises(InvalidInput) as together:
        rendered(audience(200, points=None), workers=2)
    assert str(alone.value) == str(together.value)
    assert "contact.points is null (contacts: 200" in str(alone.value)
