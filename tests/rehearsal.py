"""A whole installation for tests: its own folder and database, sandbox, event receiver and Dagster instance."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from campaign_pipeline.campaigns.store import request_run
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.settings import load_settings
from campaign_pipeline.defs.launch import run_and_wait, take_in_events
from campaign_pipeline.dispatch.account import RunAccount, account
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.sandbox.behaviour import Behaviour
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.server import SandboxServer
from campaign_pipeline.web.server import ReceiverServer
from tests.databases import initialised

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = timedelta(hours=8)
"""How long after AS_OF the clock stands: by then nobody in Europe or the United States has quiet hours."""


@dataclass(frozen=True)
class Rehearsal:
    """An installation with everything it talks to."""

    installation: Installation
    sandbox: SandboxServer
    instance: dg.DagsterInstance

    def request(self, campaign: str, as_of: datetime = AS_OF) -> str:
        with writing(self.installation.engine) as connection:
            return request_run(connection, campaign, as_of, requested_by="test", at=self.installation.clock())

    def run(self, campaign: str, as_of: datetime = AS_OF) -> str:
        """Run the campaign through Dagster to its end; the run's id."""
        run_id = self.request(campaign, as_of)
        run_and_wait(self.installation, self.instance, run_id)
        return run_id

    def take_in_events(self) -> int:
        """Wait for the sandbox to have posted everything, and bring it through to the results."""
        self.sandbox.control.wait_until_idle(60)
        return take_in_events(self.instance)

    def account(self, run_id: str) -> RunAccount:
        return account(self.installation.engine, self.installation.lake, run_id)

    def sends(self, run_id: str) -> pl.DataFrame:
        """The ground truth of one run."""
        return self.sandbox.sends().filter(pl.col("run_id") == run_id)


@contextmanager
def rehearsal(folder: Path, behaviour: Behaviour | None = None) -> Generator[Rehearsal]:
    """Everything, on loopback and under `folder`; the environment is put back afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CAMPAIGN_DATA_DIR", str(folder / "data"))
        offset = (AS_OF + LATER - datetime.now(UTC)).total_seconds()
        environment.setenv("CAMPAIGN_CLOCK_OFFSET_SECONDS", str(offset))
        with ReceiverServer(load_settings()) as receiver:
            environment.setenv("CAMPAIGN_PUBLIC_URL", receiver.url)
            config = SandboxConfig.from_settings(load_settings(), port=0, behaviour=behaviour or Behaviour())
            with SandboxServer(config) as sandbox, dg.DagsterInstance.ephemeral() as instance:
                environment.setenv("CAMPAIGN_SENDGRID_BASE_URL", sandbox.url)
                environment.setenv("CAMPAIGN_TWILIO_BASE_URL", sandbox.url)
                environment.setenv("CAMPAIGN_SMTP_PORT", str(sandbox.control.smtp_port()))
                environment.setenv("CAMPAIGN_WEBHOOK_URL", f"{sandbox.url}/webhook")
                installation = initialised(load_settings())
                yield Rehearsal(installation, sandbox, instance)
                installation.engine.dispose()
