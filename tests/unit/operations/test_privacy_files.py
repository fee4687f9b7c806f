"""One contact in files that hold many: found however it is written, and blotted out in place."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.contacts.rejects import Reject, write_rejects
from campaign_pipeline.core import ids
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.events.record import from_line, to_line
from campaign_pipeline.operations.privacy import inbox, rejects
from campaign_pipeline.operations.privacy.person import Person

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CONTACT = ids.contact_id("4711")
RUN = "mail--20260302t090000z"
MESSAGE = ids.message_id(RUN, CONTACT, "email")
ANN = Person(
    CONTACT, "4711", frozenset({"ann@x.test", "Ann@X.test", "+12125550147"}), frozenset({RUN}), {}, ("Ann", "Lee")
)


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "provider-20260302t090000-1.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def post(*items: Mapping[str, object]) -> bytes:
    return to_line(NOW, "sendgrid", "events", {}, orjson.dumps(items))


def form(**fields: str) -> bytes:
    return to_line(NOW, "twilio", "status", {"run_id": RUN}, urlencode(fields).encode())


def test_of_a_post_about_many_only_the_contacts_items_go(tmp_path: Path) -> None:
    others = [{"event": "open", "email": "joann@x.test"}, {"event": "open", "email": "ann@x.test.org"}]
    mine = [{"event": "open", "email": "ANN@x.test"}, {"event": "click", "message_id": MESSAGE}]
    path = write(tmp_path, post(others[0], *mine, others[1]), post(*others))
    before = path.read_bytes().splitlines()
    assert [found["content"] for found in inbox.find(tmp_path, ANN)] == mine
    assert inbox.erase(tmp_path, ANN) == 1
    after = path.read_bytes().splitlines()
    assert [len(line) for line in after] == [len(line) for line in before]
    assert orjson.loads(from_line(after[0]).body) == others
    assert from_line(after[0]).received_at == NOW
    assert after[1] == before[1]
    assert inbox.erase(tmp_path, ANN) == 0


@pytest.mark.parametrize(
    "line",
    [
        form(To="+12125550147", MessageSid="SM1"),
        form(From="whatsapp:+12125550147", Body="hello", MessageSid="SM1"),
        form(ButtonUrl=f"https://x.test/?message={MESSAGE}", MessageSid="SM1"),
        to_line(NOW, "own", "unsubscribe", {"run_id": RUN, "message_id": MESSAGE}, b""),
        to_line(NOW, "own", "confirm", {"contact_id": CONTACT, "consent_id": "1", "ip": "::1"}, b""),
        to_line(NOW, "twilio", "inbound", {}, b"\xff\xfe From=ann@x.test "),
        b'{"torn": "ann@x.test\n',
        orjson.dumps({"reason": "unreadable", "content": "To=%2B12125550147&x"}) + b"\n",
        orjson.dumps(
            {"reason": "unreadable", "content": b64encode(b"\xffTo: ann@x.test").decode(), "encoding": "base64"}
        )
        + b"\n",
    ],
)
def test_a_line_about_the_contact_goes_as_a_whole(tmp_path: Path, line: bytes) -> None:
    other = form(To="+121255501478", MessageSid="SM2")  # longer by a digit
    path = write(tmp_path, other, line, other)
    assert len(list(inbox.find(tmp_path, ANN))) == 1
    assert inbox.erase(tmp_path, ANN) == 1
    left = path.read_bytes()
    assert len(left) == len(other) * 2 + len(line)
    assert left.startswith(other)
    assert left.endswith(other)
    middle = left[len(other) : -len(other)]
    assert middle.strip() == inbox.ERASED
    with pytest.raises(InvalidInput):
        from_line(middle)


def test_the_line_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, form(To="+19990000000"), b'{"body": "ann@x.test')
    before = path.read_bytes()
    assert inbox.erase(tmp_path, ANN) == 0
    assert path.read_bytes() == before


def test_what_was_set_aside_is_erased_too(tmp_path: Path) -> None:
    (tmp_path / "rejected").mkdir()
    (tmp_path / "rejected" / "a-0.jsonl").write_bytes(orjson.dumps({"content": '{"email": "ann@x.test"}'}) + b"\n")
    assert inbox.erase(tmp_path, ANN) == 1
    assert b"ann" not in (tmp_path / "rejected" / "a-0.jsonl").read_bytes()


@given(
    before=st.text(max_size=20), after=st.text(max_size=20), kind=st.sampled_from(["form", "array", "text", "base64"])
)
def test_whatever_stands_around_it_the_address_is_gone(
    tmp_path_factory: pytest.TempPathFactory, before: str, after: str, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("inbox")
    text = f"{before} <ann@x.test> {after}"
    match kind:
        case "form":
            line = form(Body=text)
        case "array":
            line = post({"event": "bounce", "reason": text})
        case "text":
            line = to_line(NOW, "twilio", "inbound", {}, text.encode("utf-8", "surrogatepass"))
        case _:
            line = to_line(NOW, "twilio", "inbound", {}, b"\xff" + text.encode("utf-8", "surrogatepass"))
    path = write(folder, line)
    assert inbox.erase(folder, ANN) == 1
    assert len(path.read_bytes()) == len(line)
    assert list(inbox.find(folder, ANN)) == []


@pytest.mark.parametrize(
    ("row", "mine"),
    [
        ("4711,Bob,x@y.test", True),
        ('x;"Ann@X.test";y', True),
        ("id\tann@x.test\tz", True),
        ('{"id": "4711", "tier": "a"}', True),
        ("Lee,Ann,2001", True),
        ("Ann,Smith,2001", False),
        ("47110,joann@x.test", False),
    ],
)
def test_rejected_rows_of_the_contact_lose_their_text(tmp_path: Path, row: str, mine: bool) -> None:
    path = tmp_path / "people-rejects.csv"
    write_rejects(path, [Reject(2, "has no valid id", row), Reject(3, "has no valid id", "other,row")])
    before = path.read_text()
    assert [found["line"] for found in rejects.find(tmp_path, ANN)] == (["2"] if mine else [])
    assert rejects.erase(tmp_path, ANN) == mine
    assert (path.read_text() != before) is mine
    assert '3,has no valid id,"other,row"' in path.read_text()
    assert ("(erased)" in path.read_text()) is mine
