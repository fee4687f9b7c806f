"""Twilio's Messages API: create, list, fetch, cancel, redact, delete; opt-outs; when messages go out."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel
from campaign_pipeline.sandbox.answers import Answer, json_answer, twilio_error
from campaign_pipeline.sandbox.ground_truth import (
    GroundTruth,
    Send,
    address_hash,
    as_attempt,
    content_hash,
    line,
    text_hash,
)
from campaign_pipeline.sandbox.twilio_content import ContentRegistry, not_found
from campaign_pipeline.sandbox.twilio_messages import WHATSAPP, Message, MessageStore
from campaign_pipeline.sandbox.twilio_progress import TwilioProgress
from campaign_pipeline.sandbox.twilio_request import NewMessage, Refusal, read_request

STOP_WORDS = frozenset(["STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT"])
START_WORDS = frozenset(["START", "YES", "UNSTOP"])
FINAL = frozenset(["sent", "delivered", "undelivered", "failed", "read", "canceled", "received"])


class TwilioApi:
    def __init__(
        self,
        truth: GroundTruth,
        progress: TwilioProgress,
        contents: ContentRegistry,
        clock: Clock,
        strict_content: bool = False,
        accept_only: bool = False,
    ) -> None:
        self.store = MessageStore()
        self.contents = contents
        self.progress = progress
        self._truth, self._clock = truth, clock
        self._strict, self._accept_only = strict_content, accept_only
        self._opted_out: set[tuple[str, str]] = set()  # (sender or service, number)
        self._waiting: list[Message] = []  # scheduled

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def reset(self) -> None:
        """Forget messages and opt-outs; registered contents stay."""
        self.store.clear()
        self._opted_out.clear()
        self._waiting.clear()

    def create(self, account_sid: str, raw: bytes) -> Answer:
        """POST Messages.json: 201 with the message, once it is in the ground truth (or scheduled)."""
        now = self._clock()
        try:
            new = read_request(raw, now)
            message = self._message(account_sid, new, now)
        except Refusal as refusal:
            return refusal.answer
        if not self._accept_only:
            self.store.add(message)
        shown = message.shown()  # as it is at this moment: nothing has been sent yet
        if message.status == "scheduled":
            self._waiting.append(message)
        else:
            self._go_out(message, now)
        return json_answer(201, shown)

    def _message(self, account_sid: str, new: NewMessage, now: datetime) -> Message:
        body, body_hash = new.body, text_hash(new.body)
        if new.content_sid:
            rendered = self.contents.render(new.content_sid, new.variables)
            if rendered is None and self._strict:
                raise Refusal(63027, "Template does not exist for a language and locale")
            if self.contents.missing(new.content_sid, new.variables):
                raise Refusal(63028, "Number of parameters provided does not match the expected number of parameters")
            body = rendered or ""
            body_hash = text_hash(body) if rendered else content_hash(new.content_sid, new.variables)
        message = Message(
            sid=f"{'MM' if new.media else 'SM'}{secrets.token_hex(16)}",
            account_sid=account_sid,
            to=new.to,
            sender=new.sender,
            body=body,
            status="scheduled" if new.send_at else "accepted" if new.messaging_service_sid else "queued",
            created_at=now,
            messaging_service_sid=new.messaging_service_sid,
            num_media=new.media,
            send_at=None if self._accept_only else new.send_at,
            status_callback=new.status_callback,
            categories=_categories(new),
            body_hash=body_hash,
            query=new.query,
        )
        if (message.origin, message.to) in self._opted_out:
            raise Refusal(21610, "Attempt to send to unsubscribed recipient")
        return message

    def _go_out(self, message: Message, now: datetime) -> None:
        query = message.query
        send = Send(
            at=now.isoformat(),
            provider="twilio",
            channel=Channel.WHATSAPP if message.whatsapp else Channel.SMS,
            message_id=query.get("message_id"),
            run_id=query.get("run_id"),
            attempt=as_attempt(query.get("attempt")),
            sid=message.sid,
            to_hash=address_hash(message.to.removeprefix(WHATSAPP)),
            body_hash=message.body_hash,
        )
        self._truth.append(line(send))
        if not self._accept_only:
            self.progress.begin(message, on_reply=lambda text: self.receive(message.to, message.origin, text))

    def release(self, everything: bool = False) -> None:
        """Send what is due (with `everything`, also what is scheduled for later)."""
        if not self._waiting:
            return
        now = self._clock()
        due = [m for m in self._waiting if everything or (m.send_at is not None and m.send_at <= now)]
        self._waiting = [m for m in self._waiting if m not in due]
        for message in due:
            message.status = "queued"
            self._go_out(message, now)

    def receive(self, sender: str, to: str, text: str) -> Message:
        """A contact's message comes in: it is kept, its keyword takes effect, and the receiver hears of it."""
        now = self._clock()
        message = Message(
            sid=f"SM{secrets.token_hex(16)}",
            account_sid=self.contents.account_sid,
            to=to,
            sender=sender,
            body=text,
            status="received",
            created_at=now,
            direction="inbound",
            sent_at=now,
        )
        self.store.add(message)
        word = text.strip().upper()
        if word in STOP_WORDS and not message.whatsapp:
            self._opted_out.add((to, sender))
        elif word in START_WORDS:
            self._opted_out.discard((to, sender))
        self.progress.tell_inbound(message)
        return message

    def list(self, account_sid: str, query: Mapping[str, str]) -> Answer:
        try:
            return json_answer(200, self.store.page(account_sid, query))
        except InvalidInput as error:
            return twilio_error(400, 20001, error.message)

    def fetch(self, account_sid: str, sid: str) -> Answer:
        message = self._find(account_sid, sid)
        return message if isinstance(message, Answer) else json_answer(200, message.shown())

    def update(self, account_sid: str, sid: str, raw: bytes) -> Answer:
        """POST one: `Status=canceled` for a scheduled message, or an empty `Body` to redact."""
        message = self._find(account_sid, sid)
        if isinstance(message, Answer):
            return message
        form = dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
        cancel, redact = form.get("Status") == "canceled", form.get("Body") == ""
        if cancel == redact or (not cancel and "Status" in form):
            return twilio_error(400, 30400, "Parameters are not valid")
        if cancel:
            if message.status != "scheduled":
                return twilio_error(409, 30409, "This message cannot be canceled")
            message.status = "canceled"
            self._waiting.remove(message)
        else:
            message.body = ""
        message.updated_at = self._clock()
        return json_answer(200, message.shown())

    def delete(self, account_sid: str, sid: str) -> Answer:
        message = self._find(account_sid, sid)
        if isinstance(message, Answer):
            return message
        if message.status not in FINAL:
            return twilio_error(409, 20009, "Cannot delete this resource before it is complete")
        self.store.remove(message)
        return Answer(204)

    def _find(self, account_sid: str, sid: str) -> Message | Answer:
        message = self.store.by_sid.get(sid)
        if message is None or message.account_sid != account_sid:
            return not_found(f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}.json")
        return message


def _categories(new: NewMessage) -> tuple[str, ...]:
    """What Behaviour.by_category knows a text by."""
    channel = Channel.WHATSAPP if new.to.startswith(WHATSAPP) else Channel.SMS
    campaign = new.query.get("run_id", "").split("--")[0]
    known = (campaign, f"channel:{channel}", f"content:{new.content_sid}" if new.content_sid else "", *new.tags)
    return tuple(category for category in known if category)
