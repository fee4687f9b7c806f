"""Segments evaluated through an installation: contacts and events come in, members enter and leave."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import CampaignError, InvalidInput, NotFound
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import contacts, segment_evaluations
from campaign_pipeline.core.words import EvaluationCause
from campaign_pipeline.operations import memberships
from campaign_pipeline.operations.memberships import (
    advance_consumer,
    evaluate_segments,
    evaluate_touched,
    history,
    read_changes,
)
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.evaluations import Evaluation, last_evaluation, load_rules
from campaign_pipeline.segments.membership import Found, Overtaken, keep, read_members
from campaign_pipeline.segments.store import apply_segment
from tests.databases import initialised

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVENTS = {"event_id": pl.String, "contact_id": pl.String, "event": pl.String, "occurred_at": pl.Datetime("us", "UTC")}
EVENTS |= {"properties": pl.String}


class Town:
    """An installation whose clock stands until it is moved on."""

    def __init__(self, settings: Settings, url: str | None) -> None:
        if url:
            settings = settings.model_copy(update={"database_url": url})
        self.now = NOON
        settings.__dict__["clock"] = lambda: self.now  # a cached property
        self.installation = initialised(settings)

    def person(self, name: str, country: str = "DE") -> None:
        row = {"contact_id": name, "external_id": name, "country": country, "attributes": {}}
        with writing(self.installation.engine) as connection:
            connection.execute(sa.delete(contacts).where(contacts.c.contact_id == name))
            connection.execute(sa.insert(contacts).values(**row, created_at=self.now, updated_at=self.now))

    def erase(self, name: str) -> None:
        with writing(self.installation.engine) as connection:
            connection.execute(sa.delete(contacts).where(contacts.c.contact_id == name))

    def did(self, *who: str, event: str = "visit", at: datetime | None = None, amount: float = 1) -> None:
        rows = [
            (f"{n}", each, event, at or self.now - HOUR, json.dumps({"amount": amount})) for n, each in enumerate(who)
        ]
        number = len(self.installation.lake.partitions("behaviour"))
        self.installation.lake.write(pl.DataFrame(rows, EVENTS, orient="row"), "behaviour", f"import{number}")

    def segment(self, name: str, where: dict[str, Any], **more: Any) -> None:
        segment = Segment.model_validate({"segment": name, "where": where, **more})
        with writing(self.installation.engine) as connection:
            apply_segment(connection, segment, self.now)

    def evaluate(self, *names: str, **more: Any) -> dict[str, Evaluation]:
        evaluated = evaluate_segments(self.installation, names or None, **more)
        evaluated.require()
        return evaluated.evaluations

    def touched(self) -> dict[str, Evaluation]:
        evaluated = evaluate_touched(self.installation)
        evaluated.require()
        return evaluated.evaluations

    def members(self, name: str) -> str:
        with reading(self.installation.engine) as connection:
            last = last_evaluation(connection, name)
        return "".join(read_members(self.installation.lake, last)["contact_id"])


@pytest.fixture(params=["sqlite", "postgresql"])
def town(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Town]:
    """Contacts a, b and c; a and b visited; segments `visitors` and, of these, `germans`."""
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    town = Town(settings, url)
    for name in "abc":
        town.person(name)
    town.did("a", "b")
    town.segment("visitors", {"did": {"event": "visit", "within": "2d"}})
    town.segment("germans", {"all": [{"segment": "visitors"}, {"trait": {"field": "country", "eq": "DE"}}]})
    yield town
    town.installation.engine.dispose()


def test_members_enter_and_leave(town: Town) -> None:
    first = town.evaluate()
    assert {name: each.cause for name, each in first.items()} == dict.fromkeys(
        ("germans", "visitors"), EvaluationCause.FIRST
    )
    assert (town.members("visitors"), town.members("germans")) == ("ab", "ab")
    town.now += HOUR
    town.person("b", country="AT")
    town.did("c")
    second = town.evaluate()
    assert (town.members("visitors"), town.members("germans")) == ("abc", "ac")
    assert (second["germans"].entered, second["germans"].left, second["germans"].as_of) == (1, 1, NOON + HOUR)
    town.now += timedelta(days=2)
    assert town.evaluate("visitors")["visitors"].left == 3  # their window has passed


def test_evaluating_again_at_once_changes_nothing(town: Town) -> None:
    assert town.evaluate() == town.evaluate()
    assert history(town.installation, "visitors").height == 1


def test_the_rule_covers_what_it_refers_to_and_no_description(town: Town) -> None:
    town.evaluate()
    town.segment("visitors", {"did": {"event": "visit", "within": "2d"}}, description="who came lately")
    town.now += HOUR
    assert town.evaluate("germans")["germans"].cause == EvaluationCause.SCHEDULED
    town.segment("visitors", {"not": {"did": {"event": "visit", "within": "2d"}}})
    changed = town.evaluate()
    assert changed["germans"].cause == changed["visitors"].cause == EvaluationCause.DEFINITION_CHANGED
    assert (changed["germans"].entered, changed["germans"].left) == (1, 2)


def test_a_moment_is_between_the_last_one_and_now(town: Town) -> None:
    town.evaluate(as_of=NOON - HOUR)
    with pytest.raises(InvalidInput, match=r"segment visitors: as_of .* is before its last evaluation"):
        town.evaluate("visitors", as_of=NOON - 2 * HOUR)
    with pytest.raises(InvalidInput, match=r"segment visitors: as_of .* is in the future"):
        town.evaluate("visitors", as_of=NOON + HOUR)
    with pytest.raises(NotFound, match="segment 'nobody' does not exist"):
        town.evaluate("nobody")


def test_an_error_of_one_segment_leaves_the_others_alone(town: Town) -> None:
    town.segment("broken", {"trait": {"field": "shoe_size", "gt": 40}})
    evaluated = evaluate_segments(town.installation)
    assert sorted(evaluated.evaluations) == ["germans", "visitors"]
    with pytest.raises(InvalidInput, match=r"segment broken: where: field 'shoe_size' is not known"):
        evaluated.require()
    town.segment("worse", {"did": {"event": "flew"}})
    with pytest.raises(InvalidInput, match=r"2 of 4 segments have an error:\n.*broken.*\n.*worse"):
        evaluate_segments(town.installation).require()


def test_the_touched_are_enough(town: Town) -> None:
    """From the first tick on, each finds what a full evaluation would."""
    assert {each.cause for each in town.touched().values()} == {EvaluationCause.FIRST}
    assert town.touched() == {}
    town.now += HOUR
    town.did("c", "x")
    new = town.touched()
    assert {each.cause for each in new.values()} == {EvaluationCause.TOUCHED}
    assert (town.members("visitors"), town.members("germans")) == ("abc", "abc")
    town.now += HOUR
    town.person("a", country="AT")
    changed = town.touched()
    assert (changed["visitors"].entered, changed["visitors"].left) == (0, 0)
    assert (changed["germans"].left, town.members("germans")) == (1, "bc")
    town.now += HOUR
    town.erase("b")
    assert {name: each.left for name, each in town.touched().items()} == {"germans": 1, "visitors": 1}
    assert town.touched() == {}
    town.now += HOUR
    assert {name: (each.entered, each.left) for name, each in town.evaluate().items()} == {
        "germans": (0, 0),
        "visitors": (0, 0),
    }


def test_time_moves_nobody_until_a_full_evaluation(town: Town) -> None:
    town.touched()
    town.now += timedelta(days=3)
    town.did("c")
    assert town.touched()["visitors"].entered == 1
    assert town.members("visitors") == "abc"  # the window of a and b has passed, but nothing touched them
    assert town.evaluate()["visitors"].left == 2
    assert town.members("visitors") == "c"


def test_a_full_evaluation_in_between_hides_nobody(town: Town) -> None:
    town.touched()
    town.person("d")
    town.did("d")
    town.now += HOUR
    town.evaluate()
    town.did("c")
    town.now += HOUR
    assert town.touched()["visitors"].entered == 1
    assert town.members("germans") == "abcd"


def test_a_changed_rule_is_looked_at_for_everybody(town: Town) -> None:
    town.touched()
    town.segment("visitors", {"did": {"event": "visit", "count": {"gte": 2}}})
    town.did("a")
    assert {each.cause for each in town.touched().values()} == {EvaluationCause.DEFINITION_CHANGED}
    assert town.members("visitors") == "a"


def test_what_compares_contacts_is_looked_at_for_everybody(town: Town) -> None:
    spent = {"spent": {"event": "visit", "sum": "amount"}}
    town.segment(
        "best", {"metric": {"name": "spent", "gte": 0}}, metrics=spent, limit={"n": 1, "order_by": "spent desc"}
    )
    town.touched()
    assert town.members("best") == "a"
    town.did("c", amount=5)
    best = town.touched()["best"]
    assert (best.cause, best.entered, best.left) == (EvaluationCause.SCHEDULED, 1, 1)
    assert town.members("best") == "c"
    assert "best" not in town.touched()


def test_what_breaks_off_after_the_row_is_looked_at_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.touched()
    town.did("c")
    with monkeypatch.context() as patch:
        patch.setattr(memberships, "remember_inputs", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            town.touched()
    town.now += HOUR
    again = town.touched()
    assert {name: each.entered for name, each in again.items()} == {"germans": 0, "visitors": 1} or {
        name: each.entered for name, each in again.items()
    } == {"germans": 1, "visitors": 0}  # whichever had its row
    assert (town.members("visitors"), town.members("germans")) == ("abc", "abc")


def _power_cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_evaluation_that_was_overtaken_is_begun_anew(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.evaluate()
    asked: list[str] = []

    def overtaken_once(engine: sa.Engine, lake: Any, new: Found, last: Evaluation | None) -> Evaluation:
        asked.append(new.segment)
        if asked == ["germans"]:  # somebody else is faster
            keep(engine, lake, Found(new.segment, new.definition_hash, NOON, new.members.head(1), NOON), last)
        return keep(engine, lake, new, last)

    monkeypatch.setattr(memberships, "keep", overtaken_once)
    town.now += HOUR
    evaluated = evaluate_segments(town.installation)
    assert asked == ["germans", "visitors", "germans"]
    assert evaluated.errors == {}
    assert (town.members("germans"), evaluated.evaluations["germans"].entered) == ("ab", 1)


def test_one_that_is_always_overtaken_says_so(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(*_: object) -> Evaluation:
        raise Overtaken("segment visitors: another evaluation was kept", "Evaluate it again.")

    monkeypatch.setattr(memberships, "keep", too_late)
    with pytest.raises(CampaignError, match="another evaluation was kept"):
        town.evaluate("visitors")


def test_consumers_read_through_the_installation(town: Town) -> None:
    town.evaluate()
    assert read_changes(town.installation, "crm", "visitors").changes.is_empty()
    town.now += HOUR
    town.did("c")
    town.evaluate()
    changes = read_changes(town.installation, "crm", "visitors")
    assert changes.changes.select("contact_id", "change").rows() == [("c", "entered")]
    assert advance_consumer(town.installation, changes) == changes.up_to
    assert read_changes(town.installation, "crm", "visitors").changes.is_empty()
    with pytest.raises(NotFound, match="segment 'nobody' does not exist"):
        read_changes(town.installation, "crm", "nobody")


def test_history_is_newest_first(town: Town) -> None:
    town.evaluate()
    town.now += HOUR
    town.did("c")
    town.evaluate()
    rows = history(town.installation, "visitors")
    assert rows.select("as_of", "cause", "members", "entered", "left").rows() == [
        (NOON + HOUR, "scheduled", 3, 1, 0),
        (NOON, "first", 2, 2, 0),
    ]
    assert history(town.installation, "visitors", limit=1).height == 1
    with pytest.raises(NotFound, match="segment 'nobody' does not exist"):
        history(town.installation, "nobody")
    with reading(town.installation.engine) as connection:
        assert sorted(load_rules(connection).hashes) == ["germans", "visitors"]
        assert connection.execute(sa.select(sa.func.count()).select_from(segment_evaluations)).scalar_one() == 4
