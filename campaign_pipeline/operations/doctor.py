"""Looking after an installation: what is right, what is not, and what to do about it."""

import os
import socket
from collections.abc import Generator
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from campaign_pipeline.core.database import current_revision, head_revision, reading
from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.settings import is_loopback
from campaign_pipeline.core.tables import campaigns, contacts
from campaign_pipeline.operations.doctor_channels import Finding, channel_settings, provider_addresses
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.senders import open_breakers

CONNECT_TIMEOUT_SECONDS = 2.0


def examine(installation: Installation) -> list[Finding]:
    """Every check, in the order in which one would mend things."""
    return [*_settings(installation), *_folders(installation), *_database(installation), *_network(installation)]


def _settings(installation: Installation) -> Generator[Finding]:
    settings = installation.settings
    sending = "ON: real messages go out" if settings.live_sending else "off: only loopback is sent to"
    yield Finding("live sending", True, sending)
    for name, url in provider_addresses(settings).items():
        try:
            settings.provider_url(url)
        except CampaignError as error:
            yield Finding(f"{name} address", False, error.message, error.hint)
    yield from channel_settings(settings)
    if settings.email_provider != "sendgrid":
        return
    if settings.sendgrid_public_key:
        yield Finding("SendGrid webhook key", True, "known")
    else:
        advice = "Set CAMPAIGN_SENDGRID_WEBHOOK_PUBLIC_KEY, or start the sandbox once: campaigns sandbox"
        yield Finding("SendGrid webhook key", False, "none: its events are refused", advice)


def _folders(installation: Installation) -> Generator[Finding]:
    folder = installation.settings.data_dir
    if not folder.is_dir():
        yield Finding("data folder", False, f"{folder} does not exist", "Run: campaigns init")
    elif not os.access(folder, os.W_OK):
        yield Finding("data folder", False, f"{folder} cannot be written", "Change its owner, or CAMPAIGN_DATA_DIR.")
    else:
        yield Finding("data folder", True, str(folder.resolve()))


def _database(installation: Installation) -> Generator[Finding]:
    try:
        revision, wanted = current_revision(installation.engine), head_revision()
        if revision != wanted:
            yield Finding("database", False, f"at revision {revision or 'none'}, not {wanted}", "Run: campaigns init")
            return
        yield Finding("database", True, f"{installation.engine.dialect.name}, at revision {revision}")
        with reading(installation.engine) as connection:
            people, defined = (
                connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in (contacts, campaigns)
            )
    except (SQLAlchemyError, CampaignError) as error:
        problem = error.message if isinstance(error, CampaignError) else type(error).__name__
        yield Finding("database", False, f"cannot be used: {problem}", "Check CAMPAIGN_DATABASE_URL.")
        return
    yield _has("contacts", people, "campaigns contacts import FILE")
    yield _has("campaigns", defined, "campaigns apply data/definitions")
    for breaker in open_breakers(installation):
        yield Finding("sending", False, breaker.says, breaker.hint)


def _has(what: str, count: int, command: str) -> Finding:
    return Finding(what, count > 0, f"{count:,}", "" if count else f"Run: {command}")


def _network(installation: Installation) -> Generator[Finding]:
    settings = installation.settings
    sandbox = "Start the sandbox: campaigns sandbox"
    live = "Check the network and the base URL."
    for name, url in provider_addresses(settings).items():
        if settings.live_sending or is_loopback(urlsplit(url).hostname or ""):  # else nothing goes there, nor do we
            yield _reach(name, url, live if settings.live_sending else sandbox)
    yield _reach("event receiver", settings.public_url, "Start it: campaigns serve")


def _reach(name: str, url: str, advice: str) -> Finding:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError as error:
        return Finding(name, False, f"{url} cannot be reached: {error.strerror or type(error).__name__}", advice)
    except ValueError as error:  # a port or a host name that cannot be
        return Finding(name, False, f"{url} is not an address: {error}", "Correct it in the settings.")
    return Finding(name, True, f"{url} answers")
