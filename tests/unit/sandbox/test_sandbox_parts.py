"""Rendering, ground truth, keys, queries and configuration of the sandbox, without a server."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sendgrid.helpers.eventwebhook import EventWebhook

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.ground_truth import (
    SENDS,
    Duplicate,
    GroundTruth,
    Send,
    as_attempt,
    duplicates,
    email_hash,
    line,
    read_sends,
    text_hash,
)
from campaign_pipeline.sandbox.keys import SIGNATURE_HEADER, TIMESTAMP_HEADER, webhook_key
from campaign_pipeline.sandbox.loopback import is_local
from campaign_pipeline.sandbox.sendgrid_logs import BadQuery, parse_query
from campaign_pipeline.sandbox.sendgrid_render import SEPARATOR, Renderer, _fill, one_after_the_other
from campaign_pipeline.sandbox.server import SandboxServer

LETTERS = st.text(alphabet="-%<>{}abn ", max_size=12)


@given(LETTERS, LETTERS, st.dictionaries(st.text(alphabet="-<>abn", min_size=1, max_size=4), LETTERS, max_size=4))
def test_any_tags_in_any_text_are_replaced_one_after_the_other(
    subject: str, content: str, values: dict[str, str]
) -> None:
    for shape in ("{}", "-n{}-", "<n{}>", "aab{}a"):
        tags = {shape.format(name): value for name, value in values.items()}
        text = "".join(f"{content}{tag}" for tag in tags) + "".join(tags) + "-n"
        parts = [one_after_the_other(subject, tags), one_after_the_other(text, tags)]
        assert Renderer(subject, [text]).whole({"substitutions": tags}) == SEPARATOR.join(parts)


def test_tags_as_dispatch_makes_them_take_the_fast_way() -> None:
    tags = tuple(f"-0123456789abhtml{slot}-" for slot in range(12))
    found = _fill(" ".join(tags), tags)
    assert found is not None
    mark, fill = found
    assert mark == "0123456789abhtml"
    assert fill({tag: str(n) for n, tag in enumerate(tags)}) == " ".join(map(str, range(12)))


@given(LETTERS, LETTERS, st.dictionaries(st.text(alphabet="-%{}ab", min_size=1, max_size=4), LETTERS, max_size=4))
def test_the_fast_way_renders_what_one_tag_after_the_other_renders_where_no_value_names_a_tag(
    subject: str, content: str, values: dict[str, str]
) -> None:
    tags = {f"<<7f{name}>>": value for name, value in values.items()}
    text = "".join(f"{content}{tag}" for tag in tags) + content
    renderer = Renderer(subject, [text])
    person = {"substitutions": tags}
    parts = [one_after_the_other(subject, tags), one_after_the_other(text, tags)]
    assert renderer.parts(person) == parts
    assert renderer.whole(person) == SEPARATOR.join(parts)


def test_a_value_that_names_a_later_tag_is_replaced_again_as_sendgrid_does() -> None:
    renderer = Renderer("-a-", ["-a- and -b-"])
    values = {"-a-": "-b-", "-b-": "x"}
    assert renderer.parts({"substitutions": values}) == ["x", "x and x"]
    assert renderer.whole({"substitutions": values}) == SEPARATOR.join(["x", "x and x"])


def test_a_personalization_can_have_a_subject_of_its_own() -> None:
    renderer = Renderer("for all", ["text"])
    assert renderer.parts({"subject": "for -n-", "substitutions": {"-n-": "Ada"}}) == ["for Ada", "text"]
    assert renderer.whole({}) == SEPARATOR.join(["for all", "text"])


def test_an_email_hash_is_the_hash_of_its_parts_joined() -> None:
    assert email_hash("s", ["a", "b"]) == text_hash("s\0a\0b")
    assert len(text_hash("é")) == 24


def send(message_id: str | None, sid: str = "x") -> Send:
    return {
        "at": "2026-03-01T09:00:00+00:00",
        "provider": "sendgrid",
        "channel": "email",
        "message_id": message_id,
        "run_id": None,
        "attempt": 1,
        "sid": sid,
        "to_hash": "t",
        "body_hash": None,
    }


def test_the_ground_truth_is_read_as_written_and_shows_duplicates(tmp_path: Path) -> None:
    assert read_sends(tmp_path).schema == pl.Schema(SENDS)
    truth = GroundTruth(tmp_path)
    truth.append(line(send("a")) + line(send("b")))
    truth.append(line(send("a", "y")) + line(send(None)) + line(send(None)))
    truth.close()
    sends = read_sends(tmp_path)
    assert sends.schema == pl.Schema(SENDS)
    assert sends["message_id"].to_list() == ["a", "b", "a", None, None]
    assert duplicates(sends) == [Duplicate("a", 2)]


def test_a_line_that_a_kill_tore_is_passed_over_and_not_continued(tmp_path: Path) -> None:
    truth = GroundTruth(tmp_path)
    truth.append(line(send("a")) + line(send("b"))[:40])
    truth.close()
    assert read_sends(tmp_path)["message_id"].to_list() == ["a"]
    again = GroundTruth(tmp_path)
    again.append(line(send("c")))
    again.close()
    assert read_sends(tmp_path)["message_id"].to_list() == ["a", "c"]


@pytest.mark.parametrize(("text", "attempt"), [("2", 2), (3, 3), (None, None), ("x", None), ("-1", None)])
def test_an_attempt_is_a_number_or_nothing(text: object, attempt: int | None) -> None:
    assert as_attempt(text) == attempt


def test_the_webhook_key_is_made_once_and_signs_as_sendgrid_does(tmp_path: Path) -> None:
    key, again = webhook_key(tmp_path), webhook_key(tmp_path)
    assert key.public_text == again.public_text == (tmp_path / "webhook_public_key.txt").read_text()
    headers = again.headers(b'[{"event": "open"}]', 1_700_000_000)
    webhook = EventWebhook(key.public_text)
    assert webhook.verify_signature('[{"event": "open"}]', headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER])
    assert (tmp_path / "webhook_private_key.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:80/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:9/x", True),
        ("https://example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://10.0.0.1/", False),
        ("file:///etc/passwd", False),
        ("http://[broken", False),
        ("", False),
    ],
)
def test_only_this_machine_is_local(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_a_sandbox_for_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        SandboxConfig(data_dir=tmp_path, host="0.0.0.0")
    with pytest.raises(InvalidInput):
        SandboxConfig(data_dir=tmp_path, events_url="https://example.com")
    with pytest.raises(ValidationError):
        SandboxConfig.model_validate({"data_dir": tmp_path, "prot": 1})


def test_the_settings_give_the_sandbox_its_secrets_and_its_receiver(settings: Settings) -> None:
    config = SandboxConfig.from_settings(settings, port=0)
    assert config.events_url == "http://127.0.0.1:8991"
    assert config.folder == settings.data_dir / "sandbox"
    assert "sandbox-secret" not in repr(config)
    assert config.sendgrid_api_key == settings.sendgrid_api_key


def test_a_taken_port_is_said_clearly(settings: Settings) -> None:
    with SandboxServer(SandboxConfig.from_settings(settings, port=0)) as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(InvalidInput, match="cannot listen"):
            SandboxServer(SandboxConfig.from_settings(settings, port=port)).start()


def test_a_query_for_our_message_id_is_found_without_a_search() -> None:
    tests, message_id = parse_query('(unique_args[\'message_id\']="m1") AND status = "delivered"')
    assert message_id == "m1"
    assert len(tests) == 2
    assert parse_query("") == ([], None)


@pytest.mark.parametrize("query", ["status", "status ~ 'x'", "size = '1'", "status IN ()", "subject > 'a'"])
def test_a_query_that_is_not_understood_is_an_error(query: str) -> None:
    with pytest.raises(BadQuery):
        parse_query(query)
