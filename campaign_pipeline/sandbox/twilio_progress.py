"""What becomes of a text after Twilio took it: its statuses, signed callbacks, and the contact's reply."""

from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qs, urldefrag, urlencode

from twilio.request_validator import RequestValidator

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.sandbox.behaviour import Behaviour, Step, text_story
from campaign_pipeline.sandbox.callbacks import Callbacks
from campaign_pipeline.sandbox.twilio_messages import WHATSAPP, Message

MOST_RETRIES = 5  # what `#rc=` can ask for


class TwilioProgress:
    def __init__(
        self,
        callbacks: Callbacks,
        behaviour: Behaviour,
        clock: Clock,
        auth_token: str,
        events_url: str,
        real_time: bool = False,
    ) -> None:
        self.behaviour = behaviour
        self._callbacks, self._clock, self._real_time = callbacks, clock, real_time
        self._validator = RequestValidator(auth_token)
        self._inbound_url = f"{events_url}/webhooks/twilio/inbound" if events_url else ""

    def begin(self, message: Message, on_reply: Callable[[str], object]) -> None:
        """Let the message live its story; `on_reply` gets the contact's answer, if there is one."""
        story = text_story(self.behaviour, message.key, message.categories, message.whatsapp)
        if not self._real_time:
            self._callbacks.submit(partial(self._live, message, story, on_reply))
            return
        for step in story:
            self._callbacks.later(
                step.after, partial(self._callbacks.submit, partial(self._live, message, [step], on_reply))
            )

    async def _live(self, message: Message, story: list[Step], on_reply: Callable[[str], object]) -> None:
        posts: list[dict[str, str]] = []
        for step in story:
            if step.kind != "reply":
                self._advance(message, step)
                posts.append(self._status_form(message))
        if message.status_callback:
            for form in self._callbacks.disturb(posts):
                await self._post(message.status_callback, form)
        for step in story:
            if step.kind == "reply":
                on_reply(step.detail)

    def _advance(self, message: Message, step: Step) -> None:
        message.status, message.updated_at = step.kind, self._clock()
        if step.kind == "sent":
            message.sent_at = message.updated_at
        if step.detail:
            message.error_code = int(step.detail)

    def tell_inbound(self, message: Message) -> None:
        """Post a contact's message to the receiver."""
        if self._inbound_url:
            form = self._common(message) | {
                "SmsMessageSid": message.sid,
                "SmsStatus": "received",
                "Body": message.body,
                "NumMedia": "0",
                "NumSegments": "1",
            }
            if message.whatsapp:
                form["WaId"] = (message.sender or "").removeprefix(f"{WHATSAPP}+")
            self._callbacks.submit(partial(self._post, self._inbound_url, form))

    def _status_form(self, message: Message) -> dict[str, str]:
        form = self._common(message) | {"SmsStatus": message.status, "MessageStatus": message.status}
        if message.error_code is not None:
            form["ErrorCode"] = str(message.error_code)
        return form

    def _common(self, message: Message) -> dict[str, str]:
        form = {
            "AccountSid": message.account_sid,
            "ApiVersion": "2010-04-01",
            "MessageSid": message.sid,
            "SmsSid": message.sid,
            "To": message.to,
            "From": message.sender or "",
        }
        if message.messaging_service_sid:
            form["MessagingServiceSid"] = message.messaging_service_sid
        return form

    async def _post(self, url: str, form: dict[str, str]) -> None:
        """Post a form, signed over the URL without its fragment, which holds Twilio's connection overrides."""
        target, overrides = urldefrag(url)
        retries = parse_qs(overrides).get("rc", [""])[0]
        attempts = (
            1 + min(int(retries), MOST_RETRIES) if retries.isdecimal() else self._callbacks.options.twilio_attempts
        )
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": self._validator.compute_signature(target, form),
        }
        await self._callbacks.post(target, urlencode(form).encode(), lambda: headers, attempts)
