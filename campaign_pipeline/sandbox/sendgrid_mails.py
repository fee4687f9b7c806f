"""E-mails that SendGrid took, and the events about them as its webhook and its logs show them."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from campaign_pipeline.core.ids import digest
from campaign_pipeline.sandbox.behaviour import Behaviour, Step
from campaign_pipeline.sandbox.callbacks import BROWSER
from campaign_pipeline.sandbox.sendgrid_render import Renderer

LINK = re.compile(r"""href\s*=\s*["'](https?://[^"']+)["']""", re.IGNORECASE)
UNSUBSCRIBE_LINK = re.compile(r"<(https?://[^>]+)>")
MACHINE_AGENT = "GoogleImageProxy"
IP = "192.0.2.10"

DETAILS: dict[tuple[str, str], dict[str, Any]] = {
    ("bounce", "bounce"): {
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
        "bounce_classification": "Invalid Address",
        "ip": IP,
    },
    ("bounce", "blocked"): {
        "type": "blocked",
        "status": "4.7.1",
        "reason": "421 4.7.1 Message temporarily refused.",
        "bounce_classification": "Reputation",
        "ip": IP,
    },
    ("deferred", ""): {"response": "450 4.2.0 Try again later.", "attempt": "1"},
    ("delivered", ""): {"response": "250 2.0.0 OK", "ip": IP, "tls": 1},
    ("dropped", "cancelled"): {"reason": "Cancelled"},
    ("open", ""): {"ip": IP, "useragent": BROWSER, "sg_content_type": "html"},
    ("open", "machine"): {"ip": IP, "useragent": MACHINE_AGENT, "sg_content_type": "html", "sg_machine_open": True},
    ("click", ""): {"ip": IP, "useragent": BROWSER, "url_offset": {"index": 0, "type": "html"}},
}
WITH_SMTP_ID = frozenset({"processed", "dropped", "delivered", "deferred", "bounce"})

Personalization = Mapping[str, Any]
"""What of a request is one recipient's own."""


@dataclass(frozen=True, slots=True)
class MailRequest:
    """What all e-mails of one request share."""

    message_id: str  # X-Message-Id
    from_email: str
    renderer: Renderer
    categories: Sequence[str]
    custom_args: Mapping[str, str]
    headers: Mapping[str, str]
    batch_id: str
    send_at: float
    created_at: float
    tracks_clicks: bool  # off: the links stay as they are, and SendGrid hears of no click


def custom_args(request: MailRequest, person: Personalization) -> Mapping[str, str]:
    """The request's, and over them the recipient's own."""
    own = person.get("custom_args") or {}
    return {**request.custom_args, **own} if request.custom_args else own


@dataclass(slots=True)
class Mail:
    """One e-mail to one recipient."""

    request: MailRequest
    person: Personalization
    email: str
    number: int  # within the request
    sent_at: float = 0.0
    happened: list[tuple[Step, float]] = field(default_factory=list[tuple[Step, float]])  # with epoch seconds

    @property
    def sg_message_id(self) -> str:
        return f"{self.request.message_id}.filter0001p1sandbox.{self.number}.0"

    @property
    def custom_args(self) -> Mapping[str, str]:
        return custom_args(self.request, self.person)

    @property
    def key(self) -> str:
        """What the behaviour of its recipient hangs on: our message id, or SendGrid's if it carries none."""
        return self.custom_args.get("message_id") or self.sg_message_id

    @property
    def subject(self) -> str:
        return self.request.renderer.parts(self.person)[0]

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; a personalization's own come before the request's."""
        both = {**self.request.headers, **(self.person.get("headers") or {})}
        return {name.lower(): value for name, value in both.items()}

    @property
    def one_click_url(self) -> str | None:
        """Where its recipient's mail client unsubscribes with one click (RFC 8058), if it can."""
        headers = self.headers
        if headers.get("list-unsubscribe-post", "").replace(" ", "") != "List-Unsubscribe=One-Click":
            return None
        found = UNSUBSCRIBE_LINK.search(headers.get("list-unsubscribe", ""))
        return found[1] if found else None

    def link(self, behaviour: Behaviour) -> str | None:
        """One of the links in the HTML other than the unsubscribe link; None if there is none."""
        texts = self.request.renderer.parts(self.person)[1:]
        links = [html.unescape(link) for text in texts for link in LINK.findall(text)]
        links = [link for link in links if link != self.one_click_url]
        return links[int(behaviour.draw(self.key, "link") * len(links))] if links else None

    @property
    def status(self) -> str:
        """EmailLogsMessageStatus: what the events so far amount to."""
        status = "processed"
        for step, _ in self.happened:
            if step.kind == "bounce":
                status = "blocked" if step.detail == "blocked" else "bounced"
            elif step.kind in ("deferred", "delivered", "dropped"):
                status = step.kind
            elif step.kind in ("open", "click"):
                status = "delivered"
        return status

    def event(self, step: Step, at: float) -> dict[str, Any]:
        """The event as the webhook posts it: custom args stand beside SendGrid's own fields."""
        return {**self.custom_args, **self._event(step, at)}

    def log_event(self, step: Step, at: float) -> dict[str, Any]:
        """The event as the logs show it: custom args apart."""
        return {**self._event(step, at), "custom_args": dict(self.custom_args)}

    def _event(self, step: Step, at: float) -> dict[str, Any]:
        event: dict[str, Any] = {
            "email": self.email,
            "timestamp": int(at),
            "event": step.kind,
            "sg_event_id": digest(self.sg_message_id, step.kind, step.detail, str(at)),
            "sg_message_id": self.sg_message_id,
            "category": list(self.request.categories),
        }
        if step.kind in WITH_SMTP_ID:
            event["smtp-id"] = f"<{self.request.message_id}@ismtpd-sandbox>"
        if step.kind == "click":
            event["url"] = step.detail
            return event | DETAILS["click", ""]
        if step.kind == "bounce":
            return event | DETAILS["bounce", step.detail]
        if step.kind == "unsubscribe":
            event["ip"], event["useragent"] = IP, BROWSER
        return event | DETAILS.get((step.kind, step.detail), {})
