"""Servers: `sandbox` (the local provider) and `serve` (the event receiver)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError

from campaign_pipeline.cli.output import console
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import load_settings

if TYPE_CHECKING:
    from campaign_pipeline.sandbox.behaviour import Behaviour

Port = Annotated[int | None, typer.Option(help="Port to listen on; by default that of the base URL in the settings.")]


def sandbox(
    port: Port = None,
    behaviour: Annotated[Path | None, typer.Option(help="JSON file with the rates of what recipients do.")] = None,
) -> None:
    """Run the local provider: Twilio and SendGrid as their SDKs see them, a mail server, a webhook receiver.

    Example: campaigns sandbox --port 8990
    """
    from campaign_pipeline.sandbox.behaviour import Behaviour
    from campaign_pipeline.sandbox.config import SandboxConfig
    from campaign_pipeline.sandbox.server import serve as serve_sandbox

    settings = load_settings()
    config = SandboxConfig.from_settings(
        settings,
        port=port or _port(settings.sendgrid_base_url, 8990),
        smtp_port=settings.smtp_port,
        behaviour=_read_behaviour(behaviour) if behaviour else Behaviour(),
    )
    mail = f"mail on port {config.smtp_port}, webhooks on /webhook"
    console.print(f"Sandbox on http://127.0.0.1:{config.port}, {mail}, events to {config.events_url}; Ctrl-C ends it.")
    serve_sandbox(config)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = None,
) -> None:
    """Run the event receiver: webhooks of the providers, and what the links of messages lead to.

    Example: campaigns serve --port 8991
    """
    from campaign_pipeline.web.server import serve as serve_receiver

    settings = load_settings()
    listen = port or _port(settings.public_url, 8991)
    console.print(f"Event receiver on http://{host}:{listen}; Ctrl-C ends it.")
    serve_receiver(settings, host, listen)


def _read_behaviour(file: Path) -> "Behaviour":
    from campaign_pipeline.sandbox.behaviour import Behaviour

    try:
        return Behaviour.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise InvalidInput(f"{file}: {field}: {problem['msg']}", "See docs/sandbox.md for the rates.") from None


def _port(url: str, otherwise: int) -> int:
    return urlsplit(url).port or otherwise


def register(app: typer.Typer) -> None:
    for command in (sandbox, serve):
        app.command()(command)
