"""The sandbox as a process of its own, as the command line starts it."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from typing import Any

import pytest

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.sandbox.client import SandboxClient
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.ground_truth import read_sends
from campaign_pipeline.sandbox.server import serve
from tests.integration.sandbox_clients import mail, person, sendgrid


def run(config: SandboxConfig, urls: "Queue[str]") -> None:
    serve(config, on_ready=urls.put)


@pytest.fixture
def process(settings: Settings) -> Iterator[tuple[BaseProcess, str, SandboxConfig]]:
    config = SandboxConfig.from_settings(settings, port=0, events_url="")
    context: Any = multiprocessing.get_context("spawn")
    urls = context.Queue()
    started = context.Process(target=run, args=(config, urls), daemon=True)
    started.start()
    yield started, urls.get(timeout=30), config
    if started.is_alive():
        started.kill()
    started.join(10)
    urls.close()


def test_what_was_answered_survives_a_kill(process: tuple[BaseProcess, str, SandboxConfig]) -> None:
    started, url, config = process
    for number in range(3):
        sendgrid(url).send(mail(*[person(f"p{number}-{n}") for n in range(100)]))
    assert started.pid
    os.kill(started.pid, signal.SIGKILL)
    started.join(10)
    assert read_sends(config.folder)["message_id"].n_unique() == 300


def test_the_server_stops_on_sigterm(process: tuple[BaseProcess, str, SandboxConfig]) -> None:
    started, url, _ = process
    assert SandboxClient(url).healthy()
    started.terminate()
    started.join(10)
    assert started.exitcode == 0
    assert not SandboxClient(url).healthy()
