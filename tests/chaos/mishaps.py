"""What goes wrong: one function a mishap. Each does its harm at the moment it is called, and repairs what must run."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import sqlalchemy as sa

from campaign_pipeline.events.ingest import receive
from tests.chaos.storm import Storm

Mishap = Callable[[Storm], None]

CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def kill_a_worker(storm: Storm) -> None:
    """kill -9 of one of the workers that are running."""
    storm.tend()
    victims = storm.running()
    if victims and storm.random.choice(victims).kill():
        storm.kills += 1


def kill_every_worker(storm: Storm) -> None:
    """kill -9 of all workers at once, as when their machine goes down."""
    storm.tend()
    for worker in storm.running():
        storm.kills += worker.kill()


def in_a_request(mishap: Mishap) -> Mishap:
    """The same at a moment when the provider has taken a request and not answered yet."""

    def at_that_moment(storm: Storm) -> None:
        storm.until_sent(storm.world.provider.sent() + 1)
        mishap(storm)

    return at_that_moment


def kill_the_provider(storm: Storm) -> None:
    """kill -9 of the provider, which is back within half a second, with its record of sends and nothing else."""
    storm.world.provider.kill()
    storm.kills += 1
    storm.provider_kills += 1
    time.sleep(storm.random.uniform(0, 0.5))
    storm.world.provider.start()


def step_the_clock(storm: Storm) -> None:
    """kill -9 of a worker; the one that follows has a clock that is an hour behind or ahead."""
    kill_a_worker(storm)
    storm.next_environment["CAMPAIGN_CLOCK_OFFSET_SECONDS"] = str(storm.random.choice([-3600, 3600]))


def freeze_a_worker(storm: Storm) -> None:
    """A worker stands still for up to a second, as in a machine that is moved, and then goes on as if nothing was."""
    if workers := storm.running():
        storm.random.choice(workers).freeze(storm.random.uniform(0, 1))


def take_in_events(storm: Storm) -> None:
    """What the provider has told of so far is taken in while workers go on."""
    world = storm.world
    receive(world.installation.engine, world.installation.lake, world.installation.settings)


def start_a_rival(storm: Storm) -> None:
    """One more worker for the same run, as when somebody materialises it again; it ends by itself."""
    storm.start_worker()


def cut_connections(storm: Storm) -> None:
    """pg_terminate_backend for every connection to the run's database."""
    engine = storm.world.installation.engine
    with engine.connect() as connection:
        connection.execute(sa.text(CUT))
    engine.dispose()


def restart(server: Any) -> Mishap:
    """PostgreSQL goes down at once (immediate mode: it recovers from its log), and is back within half a second."""

    def restart_the_database(storm: Storm) -> None:
        storm.world.installation.engine.dispose()
        process = psutil.Process(server.get_pid())
        os.kill(process.pid, signal.SIGQUIT)
        process.wait(30)
        time.sleep(storm.random.uniform(0, 0.5))
        server.ensure_postgres_running()

    return restart_the_database
