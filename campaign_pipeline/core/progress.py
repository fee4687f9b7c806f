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
    """Within the block all progress of this thread goes to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def overhearing(listener: Listener) -> Generator[None]:
    """Within the block `listener` hears all progress of this thread too, beside who listens now."""
    before = _listener.get()

    def both(what: str, done: int, total: int) -> None:
        before(what, done, total)
        listener(what, done, total)

    with listening(both):
        yield


def progress_of(what: str) -> Progress:
    """A Progress that reports to who listens now, under the name `what`."""
    listener = _listener.get()
    return lambda done, total: listener(what, done, total)
