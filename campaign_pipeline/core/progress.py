"""Saying how far long work is, without knowing who listens: a terminal, Dagster, or nobody."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

Listener = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


def _nobody(what: str, done: int, total: int) -> None:
    pass


_listener: ContextVar[Listener] = ContextVar("listener", default=_nobody)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Within the block all progress of this thread goes to `listener`, and on to who listened before."""
    before = _listener.get()

    def both(what: str, done: int, total: int) -> None:
        listener(what, done, total)
        before(what, done, total)

    token = _listener.set(both)
    try:
        yield
    finally:
        _listener.reset(token)


def progress_of(what: str) -> Progress:
    """A Progress that reports to who listens now, under the name `what`."""
    listener = _listener.get()
    return lambda done, total: listener(what, done, total)
