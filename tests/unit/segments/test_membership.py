"""Evaluations compared with the last one: what is kept, what counts, and what a crash leaves behind."""

import os
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import EvaluationCause
from campaign_pipeline.segments import membership
from campaign_pipeline.segments.evaluations import Evaluation, evaluations, last_evaluation
from campaign_pipeline.segments.leftovers import ABANDONED, remove_leftovers
from campaign_pipeline.segments.membership import CHANGES, MEMBERSHIP, Found, Overtaken, keep, read_members

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue("engine" if request.param == "sqlite" else "postgres_engine")


def found(who: str, at: datetime, rule: str = "one", among: str | None = None, segment: str = "vips") -> Found:
    members = pl.DataFrame({"contact_id": list(who)}, schema={"contact_id": pl.String})
    touched = None if among is None else pl.Series("contact_id", list(among), dtype=pl.String)
    return Found(segment, rule, at, members, evaluated_at=at, among=touched)


def evaluate(database: sa.Engine, lake: Lake, *args: Any, **kwargs: Any) -> Evaluation:
    new = found(*args, **kwargs)
    with reading(database) as connection:
        last = last_evaluation(connection, new.segment)
    return keep(database, lake, new, last)


def stays(lake: Lake, evaluation: Evaluation) -> dict[str, datetime]:
    """contact -> when its present stay began."""
    return dict(read_members(lake, evaluation).rows())


def changes(lake: Lake, evaluation: Evaluation) -> list[tuple[str, str, datetime, datetime | None]]:
    return lake.read(CHANGES, evaluation.partition).rows()


def test_the_first_evaluation_lets_everybody_enter(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "ba", MONDAY)
    assert (first.cause, first.members, first.entered, first.left) == (EvaluationCause.FIRST, 2, 2, 0)
    assert first.is_rebaseline
    assert lake.read(MEMBERSHIP, first.partition).rows() == [("a", MONDAY), ("b", MONDAY)]
    assert changes(lake, first) == [("a", "entered", MONDAY, None), ("b", "entered", MONDAY, None)]


def test_a_stay_begins_when_a_contact_enters_and_ends_when_it_leaves(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "ab", MONDAY)
    second = evaluate(database, lake, "bc", MONDAY + DAY)
    assert (second.cause, second.members, second.entered, second.left) == (EvaluationCause.SCHEDULED, 2, 1, 1)
    assert stays(lake, second) == {"b": MONDAY, "c": MONDAY + DAY}
    assert changes(lake, second) == [
        ("a", "left", MONDAY, MONDAY + DAY),
        ("c", "entered", MONDAY + DAY, None),
    ]
    third = evaluate(database, lake, "abc", MONDAY + 2 * DAY)
    assert stays(lake, third)["a"] == MONDAY + 2 * DAY  # a stay of its own


def test_everybody_can_leave(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "ab", MONDAY)
    empty = evaluate(database, lake, "", MONDAY + DAY)
    assert (empty.members, empty.left) == (0, 2)
    assert read_members(lake, empty).rows() == []
    assert evaluate(database, lake, "a", MONDAY + 2 * DAY).cause == EvaluationCause.SCHEDULED


def test_a_first_evaluation_that_finds_nobody_is_kept(database: sa.Engine, lake: Lake) -> None:
    nobody = evaluate(database, lake, "", MONDAY)
    assert (nobody.cause, nobody.members, stays(lake, nobody)) == (EvaluationCause.FIRST, 0, {})


def test_a_changed_rule_is_a_new_baseline_and_stays_go_on(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "ab", MONDAY)
    changed = evaluate(database, lake, "bc", MONDAY, rule="two")
    assert changed.cause == EvaluationCause.DEFINITION_CHANGED
    assert changed.is_rebaseline
    assert stays(lake, changed) == {"b": MONDAY, "c": MONDAY}
    assert evaluate(database, lake, "b", MONDAY + DAY, rule="two").cause == EvaluationCause.SCHEDULED


def test_a_rule_that_changed_without_effect_is_a_row_of_its_own(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "ab", MONDAY)
    changed = evaluate(database, lake, "ab", MONDAY, rule="two")
    assert (changed.cause, changed.definition_hash) == (EvaluationCause.DEFINITION_CHANGED, "two")
    assert changed.partition == first.partition


def test_the_same_moment_without_a_change_is_no_evaluation(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "ab", MONDAY)
    assert evaluate(database, lake, "ab", MONDAY) == first
    late = evaluate(database, lake, "abc", MONDAY)  # an event that came late
    assert (late.evaluation_id > first.evaluation_id, late.entered) == (True, 1)


def test_a_later_moment_without_a_change_is_a_row_and_no_files(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "ab", MONDAY)
    later = evaluate(database, lake, "ab", MONDAY + DAY)
    assert (later.as_of, later.entered, later.left, later.members) == (MONDAY + DAY, 0, 0, 2)
    assert lake.partitions(MEMBERSHIP) == [first.partition]
    assert stays(lake, later) == {"a": MONDAY, "b": MONDAY}


def test_time_does_not_go_backwards(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "ab", MONDAY)
    with pytest.raises(InvalidInput, match=r"segment vips: as_of 2026-03-01.* is before its last evaluation, 2026-03"):
        evaluate(database, lake, "ab", MONDAY - DAY)
    early = Found("vips", "one", MONDAY + DAY, pl.DataFrame({"contact_id": ["a"]}), evaluated_at=MONDAY)
    with pytest.raises(InvalidInput, match="is in the future"):
        keep(database, lake, early, None)


def test_only_the_touched_are_looked_at(database: sa.Engine, lake: Lake) -> None:
    evaluate(database, lake, "abc", MONDAY)
    touched = evaluate(database, lake, "bd", MONDAY + DAY, among="bcde")
    assert (touched.cause, touched.members, touched.entered, touched.left) == (EvaluationCause.TOUCHED, 3, 1, 1)
    assert stays(lake, touched) == {"a": MONDAY, "b": MONDAY, "d": MONDAY + DAY}


def test_segments_do_not_disturb_each_other(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "ab", MONDAY)
    other = evaluate(database, lake, "x", MONDAY - DAY, segment="others")
    assert stays(lake, first) == {"a": MONDAY, "b": MONDAY}
    assert stays(lake, other) == {"x": MONDAY - DAY}
    with reading(database) as connection:
        assert evaluations(connection, "vips") == [first]


class PowerCut(Exception):
    pass


@contextmanager
def power_cut(step: str) -> Generator[None]:
    """The process ends at `step` of an evaluation."""
    write, commit = Lake.write, membership._commit

    def cut_writing(lake: Lake, frame: pl.DataFrame, asset: str, partition: str = "all", **more: Any) -> Path:
        if step == {MEMBERSHIP: "before the membership", CHANGES: "before the changes"}.get(asset):
            raise PowerCut
        return write(lake, frame, asset, partition, **more)

    def cut_committing(*args: Any, **row: Any) -> Evaluation:
        if step == "after the row":
            commit(*args, **row)
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch, suppress(PowerCut):
        patch.setattr(Lake, "write", cut_writing)
        patch.setattr(membership, "_commit", cut_committing)
        yield
        pytest.fail("went on without power")


STEPS = ["before the membership", "before the changes", "before the row", "after the row"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_loses_nothing_and_is_repeated_cleanly(database: sa.Engine, lake: Lake, step: str) -> None:
    first = evaluate(database, lake, "ab", MONDAY)
    with power_cut(step):
        evaluate(database, lake, "bc", MONDAY + DAY)
    with reading(database) as connection:
        there = last_evaluation(connection, "vips")
    assert there is not None
    assert (there != first) == (step == "after the row")
    assert stays(lake, first) == {"a": MONDAY, "b": MONDAY}
    again = evaluate(database, lake, "bc", MONDAY + DAY)
    assert (again == there) == (step == "after the row")
    assert changes(lake, again) == [("a", "left", MONDAY, MONDAY + DAY), ("c", "entered", MONDAY + DAY, None)]
    assert stays(lake, again) == {"b": MONDAY, "c": MONDAY + DAY}
    with reading(database) as connection:
        assert evaluations(connection, "vips") == [again, first]


def grow_old(lake: Lake) -> None:
    then = time.time() - ABANDONED.total_seconds() - 1
    for file in lake.root.rglob("*"):
        os.utime(file, (then, then))


def clean_up(database: sa.Engine, lake: Lake) -> None:
    with reading(database) as connection:
        remove_leftovers(connection, lake, "vips")


@pytest.mark.parametrize("step", STEPS)
def test_what_a_crash_left_is_removed_when_it_is_old(database: sa.Engine, lake: Lake, step: str) -> None:
    evaluate(database, lake, "ab", MONDAY)
    with power_cut(step):
        evaluate(database, lake, "bc", MONDAY + DAY)
    files = (lake.partitions(MEMBERSHIP), lake.partitions(CHANGES))
    clean_up(database, lake)
    assert (lake.partitions(MEMBERSHIP), lake.partitions(CHANGES)) == files  # it might be under way
    grow_old(lake)
    clean_up(database, lake)
    with reading(database) as connection:
        named = sorted(each.partition for each in evaluations(connection, "vips"))
    assert lake.partitions(MEMBERSHIP) == lake.partitions(CHANGES) == named


def test_half_written_files_are_removed_when_they_are_old(database: sa.Engine, lake: Lake) -> None:
    with power_cut("before the changes"):
        evaluate(database, lake, "ab", MONDAY)
    (orphan,) = lake.partitions(MEMBERSHIP)
    for asset, name in ((MEMBERSHIP, "half"), (CHANGES, orphan.removeprefix("vips/"))):
        half = lake.path(asset, f"vips/{name}")
        half.parent.mkdir(parents=True, exist_ok=True)
        half.with_name(f".{half.name}.0123").write_bytes(b"PAR1")
    kept = evaluate(database, lake, "ab", MONDAY)
    grow_old(lake)
    clean_up(database, lake)
    files = sorted(str(file.relative_to(lake.root)) for file in lake.root.rglob("*") if file.is_file())
    assert files == [f"{asset}/{kept.partition}.parquet" for asset in (CHANGES, MEMBERSHIP)]


def test_the_newest_two_memberships_and_all_changes_are_kept(database: sa.Engine, lake: Lake) -> None:
    kept = [evaluate(database, lake, who, MONDAY + days * DAY) for days, who in enumerate(["a", "b", "c", "c", "d"])]
    evaluate(database, lake, "x", MONDAY, segment="others")
    clean_up(database, lake)
    membership_files = [each for each in lake.partitions(MEMBERSHIP) if each.startswith("vips/")]
    assert membership_files == sorted({kept[3].partition, kept[4].partition})
    assert len([each for each in lake.partitions(CHANGES) if each.startswith("vips/")]) == 4  # one changed nothing
    assert len(lake.partitions(MEMBERSHIP)) == 3
    assert stays(lake, kept[4]) == {"d": MONDAY + 4 * DAY}


def test_of_two_at_once_one_is_kept(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "ab", MONDAY)
    quick = keep(database, lake, found("abc", MONDAY + DAY), first)
    with pytest.raises(Overtaken, match="segment vips: another evaluation was kept"):
        keep(database, lake, found("b", MONDAY + 2 * DAY), first)
    with reading(database) as connection:
        assert last_evaluation(connection, "vips") == quick
    with pytest.raises(Overtaken):
        keep(database, lake, found("b", MONDAY), None)


def test_one_whose_predecessor_was_removed_meanwhile_is_overtaken(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "a", MONDAY)
    for days, who in enumerate(["b", "c", "d"], start=1):
        evaluate(database, lake, who, MONDAY + days * DAY)
    clean_up(database, lake)
    with pytest.raises(Overtaken):
        keep(database, lake, found("e", MONDAY + 9 * DAY), first)


def test_members_that_are_lost_are_an_error(database: sa.Engine, lake: Lake) -> None:
    first = evaluate(database, lake, "a", MONDAY)
    lake.path(MEMBERSHIP, first.partition).unlink()
    with pytest.raises(NotFound, match="segment_membership of vips/"):
        evaluate(database, lake, "b", MONDAY + DAY)


@pytest.mark.parametrize("number", [2, 4])
def test_many_at_once_make_one_history(database: sa.Engine, lake: Lake, number: int) -> None:
    """Whatever the order, each change is told once and the changes add up to the members."""

    def insist(worker: int) -> None:
        for turn in range(3):
            while True:
                with reading(database) as connection:
                    last = last_evaluation(connection, "vips")
                turns = MONDAY + timedelta(seconds=last.evaluation_id if last else 0)
                try:
                    keep(database, lake, found("abcdef"[worker : worker + 1 + turn], turns), last)
                except Overtaken:
                    continue
                break

    with ThreadPoolExecutor(number) as pool:
        list(pool.map(insist, range(number)))
    with reading(database) as connection:
        history = evaluations(connection, "vips")[::-1]
    members: set[str] = set()
    for each in history:
        for contact, change, *_ in changes(lake, each) if each.entered + each.left else []:
            assert (contact in members) == (change == "left")
            members ^= {contact}
        assert len(members) == each.members
    assert members == set(stays(lake, history[-1]))
