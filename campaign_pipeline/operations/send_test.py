"""A test message: sent to look at it, and to be seen in no figure.

Its run id is one that no campaign can have (core/ids.trial_run_id): by it the events of the message are known and left
out of everything. It is in no ledger: whoever sends it again gets it again.
"""

import secrets
from dataclasses import dataclass

from campaign_pipeline.contacts.addresses import EXAMPLES, channel_address
from campaign_pipeline.contacts.suppression import active_suppressions, comparable
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.ids import trial_run_id
from campaign_pipeline.dispatch.channels import open_channel
from campaign_pipeline.dispatch.channels.base import Batch, Message, Result
from campaign_pipeline.messages.run_context import RunContext
from campaign_pipeline.messages.store import load_template
from campaign_pipeline.messages.trial import Trial, signed_links
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.trials import CAMPAIGN, VARIANT, contexts, rendered


@dataclass(frozen=True)
class SentTest:
    """What was sent, and what the provider said to it. `run_id` and `message_id` mark it at the provider."""

    run_id: str
    message_id: str
    trial: Trial
    result: Result


def send_test(
    installation: Installation, name: str, to: str, contact: str | None = None, locale: str | None = None
) -> SentTest:
    """Send template `name` once to the address `to`, as its channel sends: to the sandbox, or live if that is on.

    What it says is that of a made-up contact, or of `contact`. Refused if the address is suppressed.
    """
    with reading(installation.engine) as connection:
        template = load_template(connection, name).template
        suppressed = set(active_suppressions(connection, template.channel)["address"])
    settings = installation.settings
    address = channel_address(template.channel, to, settings.default_region)
    if address is None:
        raise InvalidInput(f"the address is not one of {template.channel}", f"Give it as {EXAMPLES[template.channel]}.")
    if comparable(template.channel, address) in suppressed:
        raise Refused("the address is suppressed", "It asked for silence, or cannot be reached: use another one.")
    run_id, message = trial_run_id(name, installation.clock()), secrets.token_hex(12)
    run = RunContext(run_id, CAMPAIGN, template.channel, settings.public_url, settings.link_secret)
    language, context = contexts(installation, template, contact, locale)[0]
    trial = rendered(template, language, context | signed_links(run, VARIANT, message)).marked()
    only = Message(0, message, address, trial.fragments)
    with open_channel(template.channel, settings) as channel:
        (result,) = channel.send(Batch(run_id, "test", VARIANT, 0, 1, trial.skeleton, (only,)))
    return SentTest(run_id, message, trial, result)
