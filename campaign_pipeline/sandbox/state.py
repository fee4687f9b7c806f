"""The state of one sandbox: its providers, their callbacks, the faults in force, the ground truth."""

from base64 import b64encode
from typing import Any

from campaign_pipeline.sandbox.behaviour import Behaviour
from campaign_pipeline.sandbox.callbacks import Callbacks
from campaign_pipeline.sandbox.config import SandboxConfig
from campaign_pipeline.sandbox.faults import Faults, Provider
from campaign_pipeline.sandbox.ground_truth import GroundTruth, duplicates, read_sends
from campaign_pipeline.sandbox.keys import webhook_key
from campaign_pipeline.sandbox.sendgrid_api import SendGridApi
from campaign_pipeline.sandbox.smtp_api import SmtpApi
from campaign_pipeline.sandbox.twilio_api import TwilioApi
from campaign_pipeline.sandbox.twilio_content import ContentRegistry
from campaign_pipeline.sandbox.twilio_progress import TwilioProgress
from campaign_pipeline.sandbox.webhook_api import WebhookApi


class Sandbox:
    """Everything that one sandbox keeps and can do, apart from HTTP."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config, clock = config, config.clock
        self.truth = GroundTruth(config.folder)
        self.faults = Faults(config.behaviour.seed)
        self.callbacks = Callbacks(
            config.callbacks, config.events_url, webhook_key(config.folder), clock, config.behaviour.seed
        )
        token = config.twilio_auth_token.get_secret_value()
        progress = TwilioProgress(
            self.callbacks, config.behaviour, clock, token, config.events_url, real_time=config.real_time
        )
        contents = ContentRegistry(config.twilio_account_sid, clock)
        self.twilio = TwilioApi(self.truth, progress, contents, clock, config.strict_content, config.accept_only)
        self.sendgrid = SendGridApi(
            self.truth,
            self.callbacks,
            clock,
            config.behaviour,
            config.real_time,
            config.accept_only,
            config.hash_bodies,
        )
        self.smtp = SmtpApi(self.truth, self.faults, clock, hash_bodies=config.hash_bodies)
        self.smtp_port = 0  # known once it listens
        self.webhook = WebhookApi(self.truth, config, clock)
        self._twilio_token = token
        self._sendgrid_key = config.sendgrid_api_key.get_secret_value()

    def behave(self, behaviour: Behaviour) -> None:
        """New rates, for messages accepted from now on."""
        self.sendgrid.behaviour = self.twilio.progress.behaviour = behaviour

    async def reset(self) -> None:
        """Forget messages, opt-outs, faults and everything pending, and empty the ground truth."""
        await self.callbacks.reset()
        self.faults.clear()
        self.twilio.reset()
        self.sendgrid.reset()
        self.webhook.reset()
        self.truth.clear()

    def release(self, everything: bool = False) -> None:
        self.twilio.release(everything)
        self.sendgrid.release(everything)

    @property
    def waiting(self) -> int:
        """Messages that are scheduled or held."""
        return self.twilio.waiting + self.sendgrid.waiting

    def stats(self) -> dict[str, Any]:
        """Counts from the ground truth (all runs of this installation's sandbox) and of the callbacks."""
        sends = read_sends(self.config.folder)
        repeated = duplicates(sends)
        return {
            "physical_sends": dict(sends.group_by("provider").len().sort("provider").iter_rows()),
            "messages": sends["message_id"].drop_nulls().n_unique(),
            "duplicates": {entry.message_id: entry.sends for entry in repeated[:100]},
            "duplicated_messages": len(repeated),
            "scheduled": self.waiting,
            "callbacks": self.callbacks.stats(),
        }

    def authorized(self, provider: Provider, given: str, account: str | None) -> bool:
        """Whether the Authorization header `given` is right; `account` is Twilio's from the path, if it has one."""
        if provider == "sendgrid":
            return not self._sendgrid_key or given == f"Bearer {self._sendgrid_key}"
        if provider != "twilio" or not self._twilio_token:
            return True  # a webhook proves itself by its signature
        account = account or self.config.twilio_account_sid
        return given == "Basic " + b64encode(f"{account}:{self._twilio_token}".encode()).decode()
