"""What was set aside: listed, replayed once something can be made of it; and bounce mails that come in by command."""

from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.ids import message_id
from campaign_pipeline.core.tables import campaign_versions, runs
from campaign_pipeline.dispatch.channels.verp import bounce_address, bounce_token
from campaign_pipeline.events import normalise
from campaign_pipeline.events.inbox_files import add_file
from campaign_pipeline.events.ingest import receive
from campaign_pipeline.events.providers import postmark
from campaign_pipeline.events.record import from_line, to_line
from campaign_pipeline.operations.bounces import take_in_bounce
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rejected import list_rejected, replay

RUN = "spring-sale--20260302t090000z"
MESSAGE = message_id(RUN, "a" * 24, "email")


def post(installation: Installation, *bodies: bytes) -> None:
    now = installation.clock()
    lines = [to_line(now, "postmark", "events", {}, body) for body in bodies]
    add_file(installation.settings.inbox_dir, "postmark", lines, now)


def take_in(installation: Installation) -> tuple[int, int]:
    received = receive(installation.engine, installation.lake, installation.settings)
    return received.events, received.rejected


def delivered(number: int) -> bytes:
    fields = {"RecordType": "Delivery", "MessageID": f"pm-{number}", "DeliveredAt": "2026-03-02T10:00:00Z"}
    return orjson.dumps(fields)


def test_what_was_set_aside_is_listed_with_its_place_and_reason(installation: Installation) -> None:
    post(installation, delivered(1), b"[]", b"nonsense")
    assert take_in(installation) == (1, 2)
    first, second = list_rejected(installation)
    assert (first.reason, second.reason) == ("the body is not a JSON object", "the body is not JSON")
    assert (first.provider, first.bytes, second.bytes) == ("postmark", 2, 8)
    whole = (installation.settings.inbox_dir / second.file).read_bytes()
    assert from_line(whole[second.position :].splitlines()[0]).body == "nonsense"
    assert list_rejected(installation, "not json") == [second]
    assert list_rejected(installation, "other") == []


def test_a_replay_takes_in_what_is_understood_now_once_and_leaves_the_rest_aside(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yet(record: object) -> None:
        raise InvalidInput("this parser is broken")

    monkeypatch.setitem(normalise.PARSERS, ("postmark", "events"), not_yet)
    post(installation, delivered(1), delivered(2), b"nonsense")
    assert take_in(installation) == (0, 3)
    monkeypatch.setitem(normalise.PARSERS, ("postmark", "events"), postmark.events)

    done = replay(installation)
    assert (done.lines, done.rejections, done.kept) == (3, 3, 0)
    assert list_rejected(installation) == []
    assert take_in(installation) == (2, 1)
    [left] = list_rejected(installation)
    assert left.reason == "the body is not JSON"
    # Once more: it is set aside again, and nothing is counted twice.
    assert replay(installation, "not JSON").lines == 1
    assert take_in(installation) == (0, 1)


def test_only_the_lines_of_a_reason_are_replayed(installation: Installation) -> None:
    post(installation, b"[]", b"nonsense")
    take_in(installation)
    assert replay(installation, "JSON object").lines == 1
    assert [row.reason for row in list_rejected(installation)] == ["the body is not JSON"]


def test_a_line_is_replayed_whole_so_that_nothing_of_it_is_told_twice(installation: Installation) -> None:
    items = b'[{"event": "open", "timestamp": "x"}, 5, {"event": "open", "timestamp": 1772535600}]'
    now = installation.clock()
    add_file(installation.settings.inbox_dir, "sendgrid", [to_line(now, "sendgrid", "events", {}, items)], now)
    assert take_in(installation) == (1, 2)
    before = [row.reason for row in list_rejected(installation)]
    done = replay(installation, "JSON object")
    assert (done.lines, done.rejections) == (1, 2)
    assert take_in(installation) == (1, 2)
    assert [row.reason for row in list_rejected(installation)] == before


def test_only_what_is_of_a_file_is_replayed(installation: Installation) -> None:
    post(installation, b"[]")
    post(installation, b"nonsense")
    take_in(installation)
    first, second = list_rejected(installation)
    assert replay(installation, file="other.jsonl").lines == 0
    assert replay(installation, file=first.file).lines == 1
    assert list_rejected(installation) == [second]
    assert replay(installation, file=second.kept_in).lines == 1
    assert list_rejected(installation) == []


def test_what_was_set_aside_is_told_by_its_shape(installation: Installation) -> None:
    post(installation, b'{"Email": "ann@example.com", "ID": 5}', b"Dear Ann")
    take_in(installation)
    assert [row.shape for row in list_rejected(installation)] == ["{Email: text, ID: number}", "aaaa aaa"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=abc", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/?Token=abc", True),
        ("http://sns.eu-west-1.amazonaws.com/?Token=abc", False),
        ("https://sns.eu-west-1.amazonaws.com.evil.example/?Token=abc", False),
        ("https://sns.eu-west-1.amazonaws.com@evil.example/", False),
        ("https://evil.example/sns.eu-west-1.amazonaws.com/", False),
        ("https://sns.eu-west-1.amazonaws.com/\x1b[0m", False),
    ],
)
def test_a_confirmation_shows_the_url_of_amazon_and_no_other(installation: Installation, url: str, shown: bool) -> None:
    body = orjson.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": url})
    now = installation.clock()
    add_file(installation.settings.inbox_dir, "ses", [to_line(now, "ses", "events", {}, body)], now)
    take_in(installation)
    assert [row.confirm for row in list_rejected(installation)] == [url if shown else ""]


def test_a_rejection_whose_line_is_gone_stays(installation: Installation) -> None:
    post(installation, b"nonsense")
    take_in(installation)
    [row] = list_rejected(installation)
    (installation.settings.inbox_dir / row.file).unlink()
    done = replay(installation)
    assert (done.lines, done.kept) == (0, 1)
    assert list_rejected(installation) == [row]


def bounce_mail(to: str) -> bytes:
    return (
        f"To: {to}\r\nSubject: Returned\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nJosé ist nicht da\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        "Final-Recipient: rfc822; eve@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n"
    ).encode("latin-1")


@pytest.fixture
def run(installation: Installation) -> str:
    now = installation.clock()
    version = {"campaign": "spring-sale", "version": 1, "hash": "0" * 24, "definition": {"channel": "email"}}
    run = {"run_id": RUN, "campaign": "spring-sale", "version": 1, "as_of": now, "state": "completed"}
    with writing(installation.engine) as connection:
        connection.execute(sa.insert(campaign_versions).values(version | {"applied_at": now}))
        connection.execute(sa.insert(runs).values(run | {"requested_by": "cli", "created_at": now}))
    return RUN


def test_a_bounce_names_its_message_by_the_envelope_sender_that_we_signed(installation: Installation, run: str) -> None:
    token = bounce_token(run, MESSAGE, 3, installation.settings.link_secret)
    assert take_in_bounce(installation, bounce_mail(f"Bounces <{bounce_address('bounce@example.com', token)}>"))
    [file] = list(Path(installation.settings.inbox_dir).glob("*.jsonl"))
    record = from_line(file.read_bytes().rstrip())
    assert record.query == {"run_id": run, "message_id": MESSAGE, "attempt": "3"}
    received = receive(installation.engine, installation.lake, installation.settings)
    assert (received.events, received.touched_runs) == (1, {run})


def test_a_made_up_envelope_sender_names_nothing(installation: Installation, run: str) -> None:
    token = bounce_token(run, MESSAGE, 3, installation.settings.link_secret)
    forged = bounce_address("bounce@example.com", ("a" if token[0] != "a" else "b") + token[1:])
    assert not take_in_bounce(installation, bounce_mail(forged))
    assert take_in(installation) == (1, 0)  # kept, about nobody


@pytest.mark.parametrize(("mail", "match"), [(b" \r\n", "empty"), (b"x" * (10 * 2**20 + 1), "bytes")])
def test_what_cannot_be_a_bounce_is_refused(installation: Installation, mail: bytes, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        take_in_bounce(installation, mail)
