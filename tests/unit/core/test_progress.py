"""Progress goes to who listens, in this thread, and to nobody else."""

from threading import Thread

import pytest

from campaign_pipeline.core.progress import listening, overhearing, progress_of


def test_without_a_listener_nothing_happens() -> None:
    progress_of("sent")(1, 2)


def test_a_listener_hears_what_how_much_and_of_how_much() -> None:
    heard: list[tuple[str, int, int]] = []
    with listening(lambda *said: heard.append(said)):
        report = progress_of("sent")
        report(1, 10)
        report(10, 10)
    assert heard == [("sent", 1, 10), ("sent", 10, 10)]


def test_the_inner_listener_hears_and_the_outer_one_hears_again_afterwards() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with listening(lambda what, done, total: outer.append(what)):
        with listening(lambda what, done, total: inner.append(what)):
            progress_of("inside")(0, 1)
        progress_of("outside")(0, 1)
    assert (inner, outer) == (["inside"], ["outside"])


def test_after_an_error_nobody_listens_any_more() -> None:
    heard: list[str] = []

    def fail() -> None:
        with listening(lambda what, done, total: heard.append(what)):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    progress_of("late")(0, 1)
    assert heard == []


def test_another_thread_is_not_heard_unless_it_was_given_the_report() -> None:
    heard: list[str] = []
    with listening(lambda what, done, total: heard.append(what)):
        given = progress_of("given")

        def work() -> None:
            progress_of("own")(0, 1)
            given(0, 1)

        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert heard == ["given"]


def test_who_overhears_does_not_keep_it_from_who_listens() -> None:
    first: list[tuple[str, int, int]] = []
    second: list[tuple[str, int, int]] = []
    with listening(lambda *said: first.append(said)):
        with overhearing(lambda *said: second.append(said)):
            progress_of("sent")(1, 2)
        progress_of("sent")(2, 2)
    assert (first, second) == ([("sent", 1, 2), ("sent", 2, 2)], [("sent", 1, 2)])
