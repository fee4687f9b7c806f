"""The lines of a worker that sends."""

from datetime import UTC, datetime, timedelta

from campaign_pipeline.operations.sending_log import SendingLog

BEGUN = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_every_ten_seconds_a_worker_says_how_far_it_is() -> None:
    lines: list[str] = []
    moment = [BEGUN]
    told = SendingLog(lines.append, "sale--1", lambda: moment[0])
    for second, done in [(0, 500), (5, 1000), (9.9, 1500), (10, 2500), (19, 3000), (30, 4500), (40, 4500), (50, 8000)]:
        moment[0] = BEGUN + timedelta(seconds=second)
        told("sent", done, 8000)
    assert lines == [
        "sale--1: 2,500 of 8,000 sent, 5,500 remaining; this worker: 200.0 a second, "
        "alone it is through at about 2026-03-02 09:00 UTC",
        "sale--1: 4,500 of 8,000 sent, 3,500 remaining; this worker: 100.0 a second, "
        "alone it is through at about 2026-03-02 09:01 UTC",
        "sale--1: 4,500 of 8,000 sent, 3,500 remaining; this worker: 0.0 a second",
        "sale--1: 8,000 of 8,000 sent, 0 remaining; this worker: 350.0 a second",
    ]
