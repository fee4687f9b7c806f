"""The senders of this installation: their pace and what is used of the day, what holds them, and letting them go."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign
from campaign_pipeline.campaigns.sender_policy import OTHERS, SenderPolicy
from campaign_pipeline.campaigns.store import load_run, load_sending_policy
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.tables import runs
from campaign_pipeline.core.words import Channel, RunState
from campaign_pipeline.dispatch import breakers, ceilings
from campaign_pipeline.dispatch.breakers import Breaker
from campaign_pipeline.dispatch.channels import sender_of
from campaign_pipeline.dispatch.guards.pace import ceilings_of
from campaign_pipeline.operations.installation import Installation


@dataclass(frozen=True)
class SenderLine:
    """A sender, or (`domain`) one recipient domain of it that has a pace of its own.

    `used_today`, `ceiling`: units; None where nothing is counted, or there is no ceiling. `state`: ok, halted, trying.
    """

    channel: Channel
    sender: str
    domain: str
    rate: str | None
    used_today: int | None
    ceiling: int | None
    state: str
    reason: str
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class Held:
    """Why nothing of a run goes out now: in words, the command that may help, and when it goes on by itself."""

    why: str
    hint: str
    until: datetime | None
    is_halted: bool  # by a breaker; else it is only a full day


def senders_overview(installation: Installation) -> list[SenderLine]:
    """Every channel's sender, each followed by its domains."""
    lines: list[SenderLine] = []
    with reading(installation.engine) as connection:
        policy = load_sending_policy(connection)
        opened = {breaker.subject: breaker for breaker in breakers.open_breakers(connection)}
        for channel in Channel:
            of = policy.sender(channel)
            domains = sorted(of.domains, key=lambda name: (name == OTHERS, name)) if of else []
            lines += [_line(connection, installation, channel, of, domain, opened) for domain in ("", *domains)]
    return lines


def open_breakers(installation: Installation) -> list[Breaker]:
    """What is halted now, by subject."""
    with reading(installation.engine) as connection:
        return breakers.open_breakers(connection)


def state_of(breaker: Breaker) -> str:
    """halted, or trying: one worker is at it."""
    return "trying" if breaker.kind == breakers.TRY else "halted"


def held_back_run(installation: Installation, run_id: str) -> Held | None:
    """As `held_back`, of a run's campaign."""
    with reading(installation.engine) as connection:
        campaign = load_run(connection, run_id).campaign
    return held_back(installation, campaign)


def held_back(installation: Installation, campaign: Campaign) -> Held | None:
    """What holds the campaign's messages back on one of its channels; None: nothing that is known here."""
    now = installation.clock()
    with reading(installation.engine) as connection:
        opened = {breaker.subject: breaker for breaker in breakers.open_breakers(connection)}
        policy = load_sending_policy(connection)
        for channel, _ in campaign.steps:
            sender = sender_of(channel, installation.settings)
            for subject in (breakers.of_channel(channel), breakers.of_sender(sender)):
                if breaker := opened.get(subject):
                    return Held(breaker.says, breaker.hint, breaker.until, is_halted=True)
            if (of := policy.sender(channel)) and (full := _full_day(connection, sender, of, now)):
                return full
    return None


def reopen(installation: Installation, subject: str, *, actor: str, reason: str) -> None:
    """Close the breaker of `subject`, and let the runs that wait go on. NotFound if it is not open."""
    if not reason.strip():
        raise InvalidInput("--reason is empty", "Say what was mended: it is kept with the change.")
    with writing(installation.engine) as connection:
        opened = [breaker.subject for breaker in breakers.open_breakers(connection)]
        if subject not in opened:
            there_are = f"Halted are: {', '.join(opened)}." if opened else "Nothing is halted."
            raise NotFound(f"{subject!r} is not halted", f"{there_are} See: campaigns senders list")
        breakers.close(connection, subject, breakers.PERSON, actor, installation.clock(), reason)
        waiting = sa.update(runs).where(runs.c.state == RunState.RUNNING)
        connection.execute(waiting.values(next_wave_at=None))


def _line(
    connection: sa.Connection,
    installation: Installation,
    channel: Channel,
    policy: SenderPolicy | None,
    domain: str,
    opened: dict[str, Breaker],
) -> SenderLine:
    sender = sender_of(channel, installation.settings)
    of_domain = policy.domain(domain) if policy else None
    used = ceiling = None
    if policy:
        day = ceilings.day_of(installation.clock(), ZoneInfo(policy.timezone))
        used = ceilings.used_on(connection, sender, day, domain)
        ceiling = ceilings.limit_of(connection, sender, ceilings_of(policy, domain)[-1], day)
    breaker = opened.get(breakers.of_channel(channel)) or opened.get(breakers.of_sender(sender))
    return SenderLine(
        channel,
        sender,
        domain,
        of_domain.rate if of_domain else policy.rate if policy else None,
        used,
        ceiling,
        state_of(breaker) if breaker else "ok",
        breaker.reason if breaker else "",
        breaker.since if breaker else None,
        breaker.until if breaker else None,
    )


def _full_day(connection: sa.Connection, sender: str, policy: SenderPolicy, now: datetime) -> Held | None:
    zone = ZoneInfo(policy.timezone)
    day = ceilings.day_of(now, zone)
    own = ceilings_of(policy)[0]
    limit = ceilings.limit_of(connection, sender, own, day)
    if limit is None or ceilings.used_on(connection, sender, day) < limit:
        return None
    until = ceilings.next_day(now, zone)
    why = f"the day's ceiling of {sender} is used up ({limit:,}) until {until:%Y-%m-%d %H:%M} UTC"
    return Held(why, "Its warm-up and ceilings are in sending.yaml: campaigns senders list", until, is_halted=False)
