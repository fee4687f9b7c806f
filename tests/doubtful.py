"""A run in doubt for tests: planned, sent through a provider that is a list, and looked at as late as one likes."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.life_cycle import move_campaign, move_run
from campaign_pipeline.campaigns.store import Run, apply_campaign, campaign_state, load_run, request_run
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.ids import message_id
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Channel, RunState
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.account import account
from campaign_pipeline.dispatch.batches import BatchFile
from campaign_pipeline.dispatch.channels.base import Batch, Capabilities, Doubt, Finding, Lookup, Result
from campaign_pipeline.dispatch.outcomes import Kind
from campaign_pipeline.dispatch.patience import Patience
from campaign_pipeline.dispatch.worker import Sent, send_due
from campaign_pipeline.operations.installation import Installation
from tests.databases import initialised

MESSAGES, BATCH = 4, 2


@dataclass
class Provider:
    """Takes what it is sent; `answers` says what it answers, by message number. It shows what it took when asked."""

    answers: dict[int, Kind] = field(default_factory=dict[int, Kind])
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(max_batch=1000, lookup=True))
    taken: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # (message_no, attempt)
    name: Channel = Channel.EMAIL
    provider: str = "sendgrid"

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, batch: Batch) -> list[Result]:
        kinds = {message.message_no: self.answers.get(message.message_no, Kind.ACCEPTED) for message in batch.messages}
        taken = (Kind.ACCEPTED, Kind.NO_ANSWER)
        self.taken += [(number, batch.attempt) for number, kind in kinds.items() if kind in taken]
        return [Result(number, kind, "" if kind == Kind.ACCEPTED else kind.value) for number, kind in kinds.items()]

    def lookup(self, doubts: Sequence[Doubt], bound: Container[str]) -> list[Lookup]:
        keys = [(doubt.message.message_no, doubt.batch.attempt) for doubt in doubts]
        return [
            Lookup(*key, *((Finding.FOUND, f"id-{key[0]}") if key in self.taken else (Finding.ABSENT, "")))
            for key in keys
        ]


@dataclass
class Doubtful:
    """A run of `MESSAGES` e-mails in batches of `BATCH`, under way."""

    settings: Settings
    provider: Provider
    installation: Installation
    run_id: str = ""

    @classmethod
    def begin(cls, settings: Settings, provider: Provider, **campaign: object) -> "Doubtful":
        installation = initialised(settings)
        self = cls(settings, provider, installation)
        definition = Campaign.model_validate(
            {"campaign": "spring-sale", "channel": "email", "segment": "everybody"}
            | {"variants": [{"name": "plain", "weight": 1, "template": "spring"}]}
            | campaign
        )
        now = installation.clock()
        with writing(installation.engine) as connection:
            apply_campaign(connection, definition, now)
            self.run_id = request_run(connection, "spring-sale", now.replace(microsecond=0), requested_by="t", at=now)
            move_run(connection, self.run_id, RunState.RUNNING, actor="test", at=now)
            move_campaign(connection, "spring-sale", RunState.RUNNING, actor="test", at=now)
        self._plan(now)
        return self

    def _plan(self, now: datetime) -> None:
        contacts = [f"{number + 4096:024x}" for number in range(MESSAGES)]
        frame = pl.DataFrame(
            {
                "message_no": pl.Series(range(MESSAGES), dtype=pl.Int32),
                "batch_no": pl.Series([number // BATCH for number in range(MESSAGES)], dtype=pl.Int32),
                "message_id": [message_id(self.run_id, contact, "email") for contact in contacts],
                "contact_id": contacts,
                "address": [f"user{number}@example.com" for number in range(MESSAGES)],
                "variant": "plain",
                "locale": "en",
                "send_at": pl.Series([now - timedelta(minutes=1)] * MESSAGES, dtype=pl.Datetime("us", "UTC")),
                "fragments": [[f"Ann{number}"] for number in range(MESSAGES)],
                "sms_parts": pl.Series([None] * MESSAGES, dtype=pl.Int16),
            }
        )
        lake = self.installation.lake
        lake.write(frame, "messages", self.run_id)
        skeleton = [("plain", "en", "spring", "0" * 24, "subject", 1, ["Hello ", "!"])]
        names = ["variant", "locale", "template", "template_hash", "part", "slots", "constants"]
        lake.write(pl.DataFrame(skeleton, schema=names, orient="row"), "skeletons", self.run_id)
        lake.write(frame.select("contact_id", "address", status=pl.lit("planned")), "audience", self.run_id)
        content = BatchFile(lake, self.run_id).content_hash()
        with writing(self.installation.engine) as connection:
            ledger.record_plan(
                connection, self.run_id, messages=MESSAGES, batches=MESSAGES // BATCH, content_hash=content, at=now
            )

    def later(self, **length: float) -> "Doubtful":
        """The same, so much later than now."""
        offset = self.settings.clock_offset_seconds + timedelta(**length).total_seconds()
        settings = self.settings.model_copy(update={"clock_offset_seconds": offset})
        vars(settings).pop("clock", None)  # kept from before
        return Doubtful(settings, self.provider, Installation(settings), self.run_id)

    def send(self) -> Sent:
        return send_due(
            self.installation.engine,
            self.installation.lake,
            self.run_id,
            self.provider,
            worker="w",
            clock=self.installation.clock,
            patience=Patience(tries=1, sleep=lambda _seconds: None),
        )

    def message(self, number: int) -> str:
        return message_id(self.run_id, f"{number + 4096:024x}", "email")

    def run(self) -> Run:
        with reading(self.installation.engine) as connection:
            return load_run(connection, self.run_id)

    def states(self) -> tuple[RunState, RunState]:
        """Of the campaign and of the run."""
        with reading(self.installation.engine) as connection:
            return campaign_state(connection, "spring-sale"), load_run(connection, self.run_id).state

    def next_at(self) -> datetime | None:
        """When the run is taken up or looked at again."""
        with reading(self.installation.engine) as connection:
            return connection.execute(sa.select(runs.c.next_wave_at)).scalar_one()

    def messages(self) -> dict[str, int]:
        return dict(account(self.installation.engine, self.installation.lake, self.run_id).messages)


Begin = Callable[..., Doubtful]
