"""The inbox: what was acknowledged is in a file, and is read once, whole lines only."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import insert_new, writing
from campaign_pipeline.core.tables import inbox_cursors
from campaign_pipeline.events import inbox as inbox_module
from campaign_pipeline.events.inbox import Inbox, InboxFull
from campaign_pipeline.events.inbox_reader import Batch, pending_bytes, read_new

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def fill(folder: Path, count: int, **options: int) -> Inbox:
    async def append() -> None:
        await asyncio.gather(*(inbox.append("sendgrid", "events", {"n": str(n)}, b"[]") for n in range(count)))

    with Inbox(folder, lambda: NOW, **options) as inbox:
        asyncio.run(append())
    return inbox


def move_cursor(engine: sa.Engine, batch: Batch) -> None:
    with writing(engine) as connection:
        insert_new(connection, inbox_cursors, [{"file": batch.file, "position": 0, "updated_at": NOW}])
        connection.execute(
            sa.update(inbox_cursors).where(inbox_cursors.c.file == batch.file).values(position=batch.end)
        )


def test_requests_that_wait_together_share_the_disk(tmp_path: Path) -> None:
    inbox = fill(tmp_path, 500)
    assert inbox.appended == 500
    assert inbox.commits < 50
    [file] = tmp_path.glob("*.jsonl")
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert {line["query"]["n"] for line in lines} == {str(n) for n in range(500)}
    assert lines[0] | {"query": {}} == {
        "received_at": "2026-03-02T09:00:00+00:00",
        "provider": "sendgrid",
        "kind": "events",
        "query": {},
        "body": "[]",
    }
    assert file.name.startswith("sendgrid-20260302t090000-")
    assert file.stat().st_mode & 0o077 == 0


def test_files_rotate_by_size_and_never_share_a_name(tmp_path: Path, engine: sa.Engine) -> None:
    async def append(inbox: Inbox) -> None:
        for number in range(10):
            await inbox.append("twilio", "status", {"n": str(number)}, b"x" * 50)

    with Inbox(tmp_path, lambda: NOW, file_bytes=200) as inbox:
        asyncio.run(append(inbox))
    assert len(list(tmp_path.glob("*.jsonl"))) == 5
    found = [record.query["n"] for batch in read_new(engine, tmp_path) for _, record in batch.records]
    assert sorted(found, key=int) == [str(n) for n in range(10)]


def test_a_failed_write_is_an_error_for_all_who_wait_and_begins_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = inbox_module.os.fsync, [True]

    def fsync(handle: int) -> None:
        if broken[0]:
            raise OSError(28, "No space left on device")
        real(handle)

    async def append() -> list[BaseException | None]:
        answers = await asyncio.gather(
            *(inbox.append("own", "unsubscribe", {}, b"") for _ in range(3)), return_exceptions=True
        )
        broken[0] = False
        await inbox.append("own", "unsubscribe", {}, b"after")
        return answers

    monkeypatch.setattr(inbox_module.os, "fsync", fsync)
    with Inbox(tmp_path, lambda: NOW) as inbox:
        answers = asyncio.run(append())
    assert [type(answer) for answer in answers] == [OSError] * 3
    assert inbox.waiting_bytes == 0
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_more_than_memory_allows_is_turned_away(tmp_path: Path) -> None:
    async def append() -> None:
        with pytest.raises(InboxFull):
            await inbox.append("own", "unsubscribe", {}, b"x" * 2000)
        await inbox.append("own", "unsubscribe", {}, b"x" * 100)

    with Inbox(tmp_path, lambda: NOW, waiting_bytes=1000) as inbox:
        asyncio.run(append())
    assert inbox.appended == 1


def test_a_closed_inbox_takes_nothing(tmp_path: Path) -> None:
    inbox = fill(tmp_path, 1)
    with pytest.raises(InboxFull):
        asyncio.run(inbox.append("own", "unsubscribe", {}, b""))


def test_a_torn_last_line_is_not_read_until_it_is_whole(tmp_path: Path, engine: sa.Engine) -> None:
    fill(tmp_path, 2)
    [file] = tmp_path.glob("*.jsonl")
    whole, line = file.stat().st_size, file.read_bytes().splitlines(keepends=True)[0]
    with file.open("ab") as appended:
        appended.write(line[:20])
    assert pending_bytes(engine, tmp_path) == (0, whole)
    [batch] = read_new(engine, tmp_path)
    assert (batch.start, batch.end, len(batch.records), batch.rejections) == (0, whole, 2, [])
    move_cursor(engine, batch)
    assert list(read_new(engine, tmp_path)) == []
    assert pending_bytes(engine, tmp_path) == (whole, 0)
    with file.open("ab") as appended:
        appended.write(line[20:])
    [rest] = read_new(engine, tmp_path)
    assert (rest.start, rest.end, len(rest.records)) == (whole, whole + len(line), 1)


@pytest.mark.parametrize("batch_bytes", [1, 150, 10_000])
def test_batches_are_whole_lines_and_follow_each_other(tmp_path: Path, engine: sa.Engine, batch_bytes: int) -> None:
    fill(tmp_path, 20)
    batches = list(read_new(engine, tmp_path, batch_bytes))
    assert [batch.start for batch in batches[1:]] == [batch.end for batch in batches[:-1]]
    assert sum(len(batch.records) for batch in batches) == 20
    assert len({batch.partition for batch in batches}) == len(batches)


def test_a_long_torn_line_is_found_across_blocks(tmp_path: Path, engine: sa.Engine) -> None:
    (tmp_path / "own-a.jsonl").write_bytes(b"{}\n" + b"x" * 300_000)
    assert pending_bytes(engine, tmp_path).pending == 3


def test_what_is_not_a_record_is_set_aside_with_its_place(tmp_path: Path, engine: sa.Engine) -> None:
    good = b'{"received_at":"2026-03-02T09:00:00+00:00","provider":"own","kind":"unsubscribe","query":{},"body":""}\n'
    bad = [b"\n", b"\xff\n", b"[1]\n", b'{"provider":1}\n', good.replace(b"2026-", b"yes"), good[:40] + b"\n"]
    (tmp_path / "own-a.jsonl").write_bytes(good + b"".join(bad) + good)
    [batch] = read_new(engine, tmp_path)
    assert len(batch.records) == 2
    assert [rejection.position for rejection in batch.rejections] == [
        len(good) + sum(map(len, bad[:n])) for n in range(len(bad))
    ]
    assert all(rejection.reason for rejection in batch.rejections)


def test_a_body_that_is_not_utf8_is_kept_byte_for_byte(tmp_path: Path, engine: sa.Engine) -> None:
    async def append() -> None:
        await inbox.append("sendgrid", "events", {}, b"[\xff]")

    with Inbox(tmp_path, lambda: NOW) as inbox:
        asyncio.run(append())
    [file] = tmp_path.glob("*.jsonl")
    assert orjson.loads(file.read_bytes())["encoding"] == "base64"
    [batch] = read_new(engine, tmp_path)
    assert [rejection.reason for rejection in batch.rejections] == ["the body is not UTF-8"]
