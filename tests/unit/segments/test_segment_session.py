"""A session answers many questions: counts by channel, why a contact is in, what another definition changes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.segments.bitmaps import bitmap, count, has, lowest
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.diff import DiffLine
from campaign_pipeline.segments.evaluate import diff, explain, members, preview
from campaign_pipeline.segments.event_store import build_features
from campaign_pipeline.segments.explain import ExplainedLine
from campaign_pipeline.segments.session import Session, open_session

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
TIME = pl.Datetime("us", "UTC")
EVENTS = {**dict.fromkeys(("event_id", "contact_id", "event"), pl.String), "occurred_at": TIME, "properties": pl.String}


@pytest.fixture(params=[False, True], ids=["files", "store"])
def session(lake: Lake, request: pytest.FixtureRequest) -> Iterator[Session]:
    """Four contacts of whom three bought, from the plain files and from an event store."""
    contacts = {
        "contact_id": ["a", "b", "c", "d"],
        "external_id": ["1", "2", "3", "4"],
        "country": ["DE", "AT", "US", None],
        "reachable_email": [True, True, False, True],
        "reachable_sms": [False, True, False, False],
    }
    lake.write(pl.DataFrame(contacts), "contact_snapshot")
    events = [("a", 1, 40), ("a", 50, 60.5), ("b", 9, 0.1), ("c", 3, 5), ("nobody", 1, 1)]
    rows = [
        (f"{n}", who, "purchase", AS_OF - days * DAY, json.dumps({"amount": amount}))
        for n, (who, days, amount) in enumerate(events)
    ]
    lake.write(pl.DataFrame(rows, EVENTS, orient="row"), "behaviour", "one")
    if request.param:
        build_features(lake)
    with open_session(lake) as session:
        assert session.has_store is request.param
        yield session


def segment(where: dict[str, Any], name: str = "s", **more: Any) -> Segment:
    return Segment.model_validate({"segment": name, "where": where, **more})


BOUGHT = {"did": {"event": "purchase"}}
BIG = {"did": {"event": "purchase", "sum": {"prop": "amount", "gte": 100}}}


def test_a_preview_counts_who_can_be_reached_by_each_channel(session: Session) -> None:
    found = preview(session, segment(BOUGHT), {}, AS_OF)
    assert (found.count, found.total, found.sample) == (3, 4, ["a", "b", "c"])
    assert found.reachable == {"email": 2, "sms": 1, "any": 2}


def test_exclusions_sample_and_limit_are_lines_of_the_preview(session: Session) -> None:
    more = {"exclude": ["segment:big"], "sample": {"percent": 100, "seed": "x"}, "limit": {"n": 1}}
    shown = preview(session, segment(BOUGHT, **more), {"big": segment(BIG, "big")}, AS_OF)
    assert [(line.path, line.matches, line.remains) for line in shown.lines] == [
        ("", 1, 1),
        ("where", 3, 3),
        ("exclude.0", 3, 2),
        ("exclude.0.not", 1, 1),
        ("sample", 4, 2),
        ("limit", 1, 1),
    ]
    assert shown.sample == ["b"]


def test_a_question_asked_again_is_not_run_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []

    class Watched:
        def sql(self, text: str, **kwargs: Any) -> Any:
            run.append(text)
            return connection.sql(text, **kwargs)

    connection = session.connection
    monkeypatch.setattr(session, "connection", Watched())
    german = {"trait": {"field": "country", "eq": "DE"}}
    assert preview(session, segment({"all": [BOUGHT, german]}), {}, AS_OF).count == 1
    assert len(run) == 5  # two leaves, two channels, the sample
    run.clear()
    assert preview(session, segment({"any": [german, BOUGHT]}), {}, AS_OF).count == 3
    assert len(run) == 1
    assert preview(session, segment({"trait": {"field": "country", "eq": "AT"}}), {}, AS_OF).sample == ["b"]
    assert preview(session, segment({"did": {"event": "purchase", "within": "5d"}}), {}, AS_OF).count == 2
    assert len(run) == 5
    session.forget()
    assert preview(session, segment(BOUGHT), {}, AS_OF).count == 3
    assert len(run) == 9


def test_few_answers_are_kept_if_they_are_large(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaign_pipeline.segments.session.KEPT_BYTES", 0)
    where = {"all": [BOUGHT, {"trait": {"field": "country", "in": ["DE", "AT"]}}, {"not": BIG}]}
    assert preview(session, segment(where), {}, AS_OF).sample == ["b"]
    assert len(session._answers) == 1  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("contact", ["a", "1"])
def test_an_explanation_says_what_decided_each_line(session: Session, contact: str) -> None:
    where = {"all": [{"trait": {"field": "country", "in": ["DE"]}}, {"not": {"segment": "big"}}]}
    found = explain(session, segment(where), {"big": segment(BIG, "big")}, AS_OF, contact)
    assert (found.segment, found.contact_id, found.is_member) == ("s", "a", False)
    evidence = {"count": 2, "sum of amount": Decimal("100.5"), "first": AS_OF - 50 * DAY, "last": AS_OF - DAY}
    assert found.lines == [
        ExplainedLine("s", "where", 0, "all of", False, {}),
        ExplainedLine("s", "where.all.0", 1, "country is one of DE", True, {"country": "DE"}),
        ExplainedLine("s", "where.all.1", 1, "not", False, {}),
        ExplainedLine("s", "where.all.1.not", 2, "in segment big", True, {}),
        ExplainedLine("big", "where", 3, "did purchase with a total amount at least 100", True, evidence),
    ]


def test_an_explanation_of_somebody_who_did_nothing(session: Session) -> None:
    found = explain(session, segment({"did": {"event": "purchase", "within": "30d"}}), {}, AS_OF, "d")
    assert not found.is_member
    assert found.lines[0].evidence == {"count": 0, "first": None, "last": None}


@pytest.mark.parametrize("contact", ["nobody", "a' OR '1'='1", ""])
def test_who_is_not_in_the_snapshot_cannot_be_explained(session: Session, contact: str) -> None:
    with pytest.raises(NotFound, match="is not in the contact snapshot"):
        explain(session, segment(BOUGHT), {}, AS_OF, contact)


def test_members_preview_and_explanation_agree(session: Session) -> None:
    drawn = segment({"any": [BIG, {"not": {"trait": {"field": "country", "is_set": True}}}]})
    ids = members(session, drawn, {}, AS_OF)["contact_id"].to_list()
    assert ids == preview(session, drawn, {}, AS_OF).sample == ["a", "d"]
    explained = {name: explain(session, drawn, {}, AS_OF, name).is_member for name in "abcd"}
    assert explained == {"a": True, "b": False, "c": False, "d": True}


def test_a_diff_says_who_enters_and_leaves_and_which_lines_changed(session: Session) -> None:
    country = {"trait": {"field": "country", "in": ["DE", "US"]}}
    before = segment({"all": [BOUGHT, country]})
    after = segment({"all": [{"did": {"event": "purchase", "within": "10d"}}, {"not": country}]})
    found = diff(session, after, {"s": before}, AS_OF)
    assert (found.before, found.after, found.entering, found.leaving) == (2, 1, 1, 2)
    assert (found.entering_sample, found.leaving_sample) == (["b"], ["a", "c"])
    assert found.is_changed
    assert found.lines == [
        DiffLine(" ", "timezone", 0, "time zone UTC"),
        DiffLine(" ", "where", 0, "all of"),
        DiffLine("-", "where.all.0", 1, "did purchase"),
        DiffLine("-", "where.all.1", 1, "country is one of DE, US"),
        DiffLine("+", "where.all.0", 1, "did purchase within 10d"),
        DiffLine("+", "where.all.1", 1, "not"),
        DiffLine("+", "where.all.1.not", 2, "country is one of DE, US"),
    ]


def test_a_diff_of_the_same_definition_is_empty(session: Session) -> None:
    found = diff(session, segment(BOUGHT), {"s": segment(BOUGHT)}, AS_OF)
    assert (found.before, found.after, found.entering, found.leaving, found.is_changed) == (3, 3, 0, 0, False)


def test_a_segment_that_is_new_is_entered_by_all_its_members(session: Session) -> None:
    found = diff(session, segment(BOUGHT), {}, AS_OF)
    assert (found.before, found.after, found.entering, found.leaving) == (0, 3, 3, 0)
    assert [line.change for line in found.lines] == ["+", "+"]


def test_a_diff_sees_a_change_of_a_segment_that_it_refers_to(session: Session) -> None:
    library = {"s": segment({"not": {"segment": "big"}}), "big": segment(BIG, "big")}
    changed = {"big": segment(BOUGHT, "big")}
    found = diff(session, library["s"], library, AS_OF, changed=changed)
    assert (found.before, found.after, found.leaving_sample, found.is_changed) == (3, 1, ["b", "c"], False)


def test_a_wrong_draft_is_a_clear_error(session: Session) -> None:
    with pytest.raises(InvalidInput, match=r"segment s: where: field 'contry' is not known"):
        preview(session, segment({"trait": {"field": "contry", "eq": "DE"}}), {}, AS_OF)


@pytest.mark.parametrize("size", [1, 7, 63, 64, 65, 200])
def test_bitmaps_are_sets_of_rows(size: int) -> None:
    rows = [row for row in range(size) if row % 3 == 0]
    flags = pl.Series([row in rows for row in range(size)]).to_numpy()
    bits, others = bitmap(flags), bitmap(~flags)
    assert (count(bits), count(others)) == (len(rows), size - len(rows))
    assert [row for row in range(size) if has(bits, row)] == rows
    assert lowest(bits, 5) == rows[:5]
    assert lowest(bits, size) == rows
    assert count(bits & others) == 0
    assert count(bits | others) == size
