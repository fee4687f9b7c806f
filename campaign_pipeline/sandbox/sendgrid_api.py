"""SendGrid's v3 API: taking mail, batches, pausing and cancelling; what happens to mail afterwards."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from campaign_pipeline.core.clock import Clock
from campaign_pipeline.core.words import Channel
from campaign_pipeline.sandbox.answers import Answer, json_answer, sendgrid_error
from campaign_pipeline.sandbox.behaviour import Behaviour, Step, email_story
from campaign_pipeline.sandbox.callbacks import Callbacks
from campaign_pipeline.sandbox.ground_truth import GroundTruth, address_hash, as_attempt, line, text_hash
from campaign_pipeline.sandbox.sendgrid_mails import Mail, MailRequest, Personalization, custom_args
from campaign_pipeline.sandbox.sendgrid_render import Renderer
from campaign_pipeline.sandbox.sendgrid_validation import RECIPIENTS, Invalid, check_mail

MAX_HELD_BATCHES = 10
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class SendGridApi:
    def __init__(
        self,
        truth: GroundTruth,
        callbacks: Callbacks,
        clock: Clock,
        behaviour: Behaviour,
        real_time: bool = False,
        accept_only: bool = False,
        hash_bodies: bool = True,
    ) -> None:
        self.behaviour = behaviour
        self._truth, self._callbacks, self._clock = truth, callbacks, clock
        self._real_time, self._accept_only, self._hash_bodies = real_time, accept_only, hash_bodies
        self.mails: dict[str, Mail] = {}  # by sg_message_id, oldest first
        self.by_message_id: dict[str, list[Mail]] = {}  # by our message id
        self._waiting: list[Mail] = []  # scheduled, or of a paused batch
        self._batches: dict[str, str] = {}  # batch_id -> "" | pause | cancel

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def reset(self) -> None:
        self.mails.clear()
        self.by_message_id.clear()
        self._waiting.clear()
        self._batches.clear()

    def send(self, body: bytes) -> Answer:
        """POST /v3/mail/send: 202 with X-Message-Id, once everything that goes out now is in the ground truth."""
        now = self._clock().timestamp()
        try:
            mail = orjson.loads(body)
        except orjson.JSONDecodeError:
            return sendgrid_error(400, "Bad Request")
        if not isinstance(mail, dict):
            return sendgrid_error(400, "Bad Request")
        try:
            check_mail(mail, now)
        except Invalid as invalid:
            return invalid.answer
        batch_id = mail.get("batch_id") or ""
        if batch_id and batch_id not in self._batches:
            return sendgrid_error(400, "The batch_id is not valid.", "batch_id")
        if mail.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return Answer(200)
        request = _request(mail, now)
        recipients = _recipients(mail["personalizations"])
        if self._accept_only:
            self._record((request, *recipient) for recipient in recipients)
        else:
            mails = [Mail(request, *recipient, number) for number, recipient in enumerate(recipients)]
            self._waiting.extend(mails)
            for item in mails:
                self.mails[item.sg_message_id] = item
                if message_id := item.custom_args.get("message_id"):
                    self.by_message_id.setdefault(message_id, []).append(item)
            self.release()
        return Answer(202, headers={"X-Message-Id": request.message_id})

    def release(self, everything: bool = False) -> None:
        """Send what is due (with `everything`, also what is scheduled for later); drop what was cancelled."""
        if not self._waiting:
            return
        now = self._clock().timestamp()
        due: list[Mail] = []
        held: list[Mail] = []
        for mail in self._waiting:
            state = self._batches.get(mail.request.batch_id, "")
            if state == "cancel":
                self._emit(mail, Step("dropped", 0, "cancelled"), now)
            elif state == "pause" or (not everything and _send_at(mail) > now):
                held.append(mail)
            else:
                due.append(mail)
        self._waiting = held
        if due:
            self._record((mail.request, mail.person, mail.email) for mail in due)
            for mail in due:
                mail.sent_at = now
            self._callbacks.submit(lambda: self._simulate(due))

    def _record(self, recipients: Iterable[tuple[MailRequest, Personalization, str]]) -> None:
        """One line for each (request, personalization, address) in the ground truth."""
        at, channel, hashes = self._clock().isoformat(), Channel.EMAIL.value, self._hash_bodies
        lines: list[bytes] = []
        for request, person, email in recipients:
            args = custom_args(request, person)
            lines.append(
                line(
                    {
                        "at": at,
                        "provider": "sendgrid",
                        "channel": channel,
                        "message_id": args.get("message_id"),
                        "run_id": args.get("run_id"),
                        "attempt": as_attempt(args.get("attempt")),
                        "sid": request.message_id,
                        "to_hash": address_hash(email),
                        "body_hash": text_hash(request.renderer.whole(person)) if hashes else None,
                    }
                )
            )
        self._truth.append(b"".join(lines))

    async def _simulate(self, mails: list[Mail]) -> None:
        for number, mail in enumerate(mails):
            for step in email_story(self.behaviour, mail.key, mail.request.categories):
                at = mail.sent_at + step.after
                if self._real_time:
                    self._callbacks.later(step.after, lambda m=mail, s=step, t=at: self._emit(m, s, t))
                else:
                    self._emit(mail, step, at)
            if number % 50 == 49:
                await asyncio.sleep(0)  # requests come first

    def _emit(self, mail: Mail, step: Step, at: float) -> None:
        if step.kind == "one_click":
            url = mail.one_click_url
            if url:
                self._callbacks.submit(lambda: self._unsubscribe(url))
                return
            step = Step("unsubscribe", step.after)
        elif step.kind == "click":
            url = mail.link(self.behaviour)
            if url is None:
                return  # nothing to click on
            if not mail.request.tracks_clicks:
                self._callbacks.submit(lambda: self._callbacks.follow(url))
                return
            step = Step("click", step.after, url)
        mail.happened.append((step, at))
        self._callbacks.add_event(mail.event(step, at))

    async def _unsubscribe(self, url: str) -> None:
        """What a mail client does: SendGrid has no part in it, so there is no event."""
        await self._callbacks.post(url, ONE_CLICK, lambda: FORM, self._callbacks.options.sendgrid_attempts)

    def create_batch(self) -> Answer:
        batch_id = secrets.token_hex(16)
        self._batches[batch_id] = ""
        return json_answer(201, {"batch_id": batch_id})

    def get_batch(self, batch_id: str) -> Answer:
        if batch_id not in self._batches:
            return sendgrid_error(400, "invalid batch id", "batch_id")
        return json_answer(200, {"batch_id": batch_id})

    def list_scheduled(self, batch_id: str | None = None) -> Answer:
        states = [
            {"batch_id": batch, "status": status}
            for batch, status in self._batches.items()
            if status and batch_id in (None, batch)
        ]
        return json_answer(200, states)

    def create_scheduled(self, body: bytes) -> Answer:
        asked = _json_object(body)
        batch_id, status = asked.get("batch_id"), asked.get("status")
        if batch_id not in self._batches:
            return sendgrid_error(400, "invalid batch id", "batch_id")
        if status not in ("pause", "cancel"):
            return sendgrid_error(400, "status must be pause or cancel", "status")
        if self._batches[batch_id]:
            return sendgrid_error(400, "a status was already set for this batch id; update it instead", "batch_id")
        if sum(map(bool, self._batches.values())) >= MAX_HELD_BATCHES:
            return sendgrid_error(400, f"at most {MAX_HELD_BATCHES} batches can be paused or cancelled", "batch_id")
        self._batches[batch_id] = status
        self.release()
        return json_answer(201, {"batch_id": batch_id, "status": status})

    def update_scheduled(self, batch_id: str, body: bytes) -> Answer:
        status = _json_object(body).get("status")
        if not self._batches.get(batch_id):
            return sendgrid_error(404, "batch id not found", "batch_id")
        if status not in ("pause", "cancel"):
            return sendgrid_error(400, "status must be pause or cancel", "status")
        self._batches[batch_id] = status
        self.release()
        return Answer(204)

    def delete_scheduled(self, batch_id: str) -> Answer:
        """Take the pause or cancellation back; paused mail that is due goes out now."""
        if not self._batches.get(batch_id):
            return sendgrid_error(404, "batch id not found", "batch_id")
        self._batches[batch_id] = ""
        self.release()
        return Answer(204)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


def _request(mail: Mapping[str, Any], now: float) -> MailRequest:
    return MailRequest(
        message_id=secrets.token_urlsafe(16),
        from_email=mail["from"]["email"],
        renderer=Renderer(mail.get("subject") or "", [content["value"] for content in mail.get("content") or ()]),
        categories=mail.get("categories") or (),
        custom_args=mail.get("custom_args") or {},
        headers=mail.get("headers") or {},
        batch_id=mail.get("batch_id") or "",
        send_at=mail.get("send_at") or 0,
        created_at=now,
        tracks_clicks=mail.get("tracking_settings", {}).get("click_tracking", {}).get("enable", True),
    )


def _recipients(people: list[dict[str, Any]]) -> Iterable[tuple[Personalization, str]]:
    """Who gets an e-mail of their own: each address of to, cc and bcc."""
    return (
        (person, recipient["email"]) for person in people for kind in RECIPIENTS for recipient in person.get(kind, ())
    )


def _send_at(mail: Mail) -> float:
    return mail.person.get("send_at") or mail.request.send_at
