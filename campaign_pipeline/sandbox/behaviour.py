"""What recipients do: rates, and the story of each message drawn from them.

Every decision is a function of (seed, message, kind of decision) and of nothing else, so that the truth
behind a run is the same whatever the order, the timing or the number of workers.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
HOUR = 3600.0
LATEST_OPEN = 40 * HOUR
R = TypeVar("R", bound=BaseModel)


class EmailRates(BaseModel):
    """Shares of e-mails (SendGrid). What is neither delivered, bounced nor blocked is never heard of again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delivered: Share = 0.975
    bounced: Share = Field(default=0.015, description="The address does not exist: a hard bounce.")
    blocked: Share = Field(default=0.01, description="Refused for now: a soft bounce (type `blocked`).")
    deferred: Share = Field(default=0.02, description="Of the delivered: deferred once before.")
    machine_open: Share = Field(default=0.1, description="Of the delivered: opened by a machine (sg_machine_open).")
    opened: Share = Field(default=0.3, description="Of the delivered: opened by a person.")
    clicked: Share = Field(default=0.2, description="Of the opened, where there is a link.")
    unsubscribed: Share = Field(default=0.01, description="Of the opened.")
    complained: Share = Field(default=0.001, description="Of the delivered: reported as spam.")

    @model_validator(mode="after")
    def _one_fate_each(self) -> "EmailRates":
        if self.delivered + self.bounced + self.blocked > 1 + 1e-9:
            raise ValueError("delivered + bounced + blocked is more than 1")
        return self


class TextRates(BaseModel):
    """Shares of SMS and WhatsApp messages (Twilio). What is neither delivered nor undelivered stays `sent`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delivered: Share = 0.965
    undelivered: dict[int, Share] = Field(
        default={30003: 0.02, 30005: 0.01, 30006: 0.005},
        description="Share by error code: unreachable, unknown, landline.",
    )
    read: Share = Field(default=0.7, description="Of the delivered, WhatsApp only.")
    replied: Share = Field(default=0.05, description="Of the delivered.")
    replies: dict[str, Share] = Field(
        default={"Thanks!": 0.5, "How long does this last?": 0.2, "STOP": 0.3},
        description="Share of each text among replies.",
    )

    @model_validator(mode="after")
    def _one_fate_each(self) -> "TextRates":
        if self.delivered + sum(self.undelivered.values()) > 1 + 1e-9:
            raise ValueError("delivered + undelivered is more than 1")
        if self.replied and abs(sum(self.replies.values()) - 1) > 1e-6:
            raise ValueError("the shares of replies do not add up to 1")
        return self


class Behaviour(BaseModel):
    """Rates for all messages, and single rates that differ by category.

    Categories of an e-mail are SendGrid's (campaign name, `variant:<variant>`); of a text: its campaign
    (from the run id), `channel:sms` or `channel:whatsapp`, `content:<ContentSid>`, and `<name>:<value>`
    of each of Twilio's Tags. Where several categories of a message name a rate, the last one counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 1
    email: EmailRates = EmailRates()
    text: TextRates = TextRates()
    by_category: dict[str, dict[str, Any]] = Field(default={}, description='{"variant:emoji": {"opened": 0.45}}')

    @model_validator(mode="after")
    def _overrides_are_rates(self) -> "Behaviour":
        for category, rates in self.by_category.items():
            unknown = rates.keys() - EmailRates.model_fields.keys() - TextRates.model_fields.keys()
            if unknown:
                raise ValueError(f"{category}: {sorted(unknown)[0]} is not a rate")
            self.email_rates((category,))
            self.text_rates((category,))
        return self

    def email_rates(self, categories: Sequence[str]) -> EmailRates:
        return _merged(self.email, self._overrides(categories))

    def text_rates(self, categories: Sequence[str]) -> TextRates:
        return _merged(self.text, self._overrides(categories))

    def _overrides(self, categories: Sequence[str]) -> dict[str, Any]:
        return {name: rate for c in categories for name, rate in self.by_category.get(c, {}).items()}

    def draw(self, message: str, kind: str) -> float:
        """A number in [0, 1) that belongs to this message and decision."""
        return _draw(self.seed, message, kind)


def _merged(rates: R, overrides: dict[str, Any]) -> R:
    own = {name: rate for name, rate in overrides.items() if name in type(rates).model_fields}
    return type(rates).model_validate(rates.model_dump() | own) if own else rates


def _draw(seed: int, message: str, kind: str) -> float:
    digest = blake2b(f"{seed}:{message}:{kind}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


class Step(NamedTuple):
    """One thing that happens to a message, `after` seconds from its acceptance."""

    kind: str  # e-mail: SendGrid's event name, or `one_click`; text: Twilio's status, or `reply`
    after: float
    detail: str = ""  # bounce type, Twilio error code, text of the reply, `machine`


def email_story(behaviour: Behaviour, message: str, categories: Sequence[str]) -> list[Step]:
    """What happens to the e-mail with this id, in the order of time."""
    rates = behaviour.email_rates(categories)

    def chance(kind: str) -> float:
        return _draw(behaviour.seed, message, kind)

    def happens(kind: str, rate: float) -> bool:
        return chance(kind) < rate

    steps = [Step("processed", 0.2)]
    fate = chance("fate")
    arrival = 1 + 9 * chance("delivered:after")
    if fate < rates.bounced:
        return [*steps, Step("bounce", arrival, "bounce")]
    if fate < rates.bounced + rates.blocked:
        return [*steps, Step("bounce", arrival, "blocked")]
    if fate >= rates.bounced + rates.blocked + rates.delivered:
        return steps
    if happens("deferred", rates.deferred):
        steps.append(Step("deferred", arrival))
        arrival += 300 + 1500 * chance("deferred:after")
    steps.append(Step("delivered", arrival))
    if happens("machine_open", rates.machine_open):
        steps.append(Step("open", arrival + 1 + 4 * chance("machine_open:after"), "machine"))
    if happens("opened", rates.opened):
        opened = arrival + 20 + LATEST_OPEN * chance("opened:after") ** 3  # half within five hours
        steps.append(Step("open", opened))
        if happens("clicked", rates.clicked):
            steps.append(Step("click", opened + 5 + 600 * chance("clicked:after")))
        if happens("unsubscribed", rates.unsubscribed):
            steps.append(Step("one_click", opened + 10 + 300 * chance("unsubscribed:after")))
    if happens("complained", rates.complained):
        steps.append(Step("spamreport", arrival + 60 + 24 * HOUR * chance("complained:after")))
    return sorted(steps, key=lambda step: step.after)


def text_story(behaviour: Behaviour, message: str, categories: Sequence[str], whatsapp: bool) -> list[Step]:
    """What happens to the SMS or WhatsApp message with this id, in the order of time."""
    rates = behaviour.text_rates(categories)

    def chance(kind: str) -> float:
        return _draw(behaviour.seed, message, kind)

    steps = [Step("sent", 0.5)]
    arrival = 1 + 7 * chance("delivered:after")
    fate = chance("fate")
    for code, share in rates.undelivered.items():
        if fate < share:
            return [*steps, Step("undelivered", arrival, str(code))]
        fate -= share
    if fate >= rates.delivered:
        return steps
    steps.append(Step("delivered", arrival))
    seen = arrival + 5 + 2 * HOUR * chance("read:after") ** 3
    if whatsapp and chance("read") < rates.read:
        steps.append(Step("read", seen))
    if chance("replied") < rates.replied:
        steps.append(Step("reply", seen + 10 + HOUR * chance("replied:after") ** 2, _reply(rates, chance("reply"))))
    return steps


def _reply(rates: TextRates, at: float) -> str:
    texts = list(rates.replies)
    for text in texts:
        if at < rates.replies[text]:
            return text
        at -= rates.replies[text]
    return texts[-1]  # shares that add up to a hair under 1
