"""What contacts said, and what is known of them: `contacts consent`, `ask-consent`, `could-send`; `attributes`."""

from datetime import datetime
from typing import Annotated

import polars as pl
import typer

from campaign_pipeline.cli.arguments import moment, operator
from campaign_pipeline.cli.data import contacts
from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.contacts import attributes as catalogue
from campaign_pipeline.contacts.consent import MARKETING, record_consent
from campaign_pipeline.contacts.could_send import could_send
from campaign_pipeline.contacts.identify import identify_one
from campaign_pipeline.contacts.opt_in import ask_consent
from campaign_pipeline.contacts.snapshot import ASSET
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.operations.reach import cap_reached

attributes = typer.Typer(help="What is known of contacts beside their fields.", no_args_is_help=True)

Contact = Annotated[str, typer.Argument(help="Contact id, or the contact's id in your own system.")]
OnChannel = Annotated[Channel, typer.Option("--channel", help="email, sms or whatsapp.")]
Purpose = Annotated[str, typer.Option(help="What the consent is for.")]
On = Annotated[str | None, typer.Option("--on", help="A date (its end) or a time, UTC without a zone; default: now.")]
Source = Annotated[str, typer.Option(help="Where it was said: form, phone, paper ...")]
Form = Annotated[str, typer.Option(help="Evidence: URL or address of the form.")]
TextVersion = Annotated[str, typer.Option(help="Evidence: which wording was agreed to.")]
Ip = Annotated[str, typer.Option(help="Evidence: where the request came from.")]
SaidAt = Annotated[str | None, typer.Option(help="Evidence: when it was said, if not now.")]
Attribute = Annotated[str, typer.Argument(help="Name of the attribute.")]


@contacts.command("could-send")
def show_could_send(
    contact: Contact, channel: OnChannel, purpose: Purpose = MARKETING, on: On = None, as_json: AsJson = False
) -> None:
    """Say whether the contact could be sent to on a day, and why: by what had been recorded until then.

    Example: campaigns contacts could-send 10042 --channel email --on 2026-03-02
    """
    installation = open_installation()
    text = f"{on}T23:59:59" if on and len(on) == len("2026-03-02") else on
    now = installation.clock()
    at = moment(text, now) if text else now  # to the microsecond: what was recorded just now counts
    with reading(installation.engine) as connection:
        contact_id = identify_one(connection, contact)
        secret = installation.settings.link_secret
        answer = could_send(connection, contact_id, channel, purpose, at, secret=secret)
        cap = "" if on else cap_reached(connection, contact_id, channel, purpose, now)  # known of now only
    could_be_sent_to = answer.could and not cap
    if as_json:
        held = [
            {
                "reason": each.reason,
                "channel": each.channel,
                "topic": each.topic,
                "recorded_at": each.recorded_at,
                "expires_at": each.expires_at,
            }
            for each in answer.suppressions
        ]
        show_json(
            {
                "contact_id": contact_id,
                "channel": channel,
                "purpose": purpose,
                "at": at,
                "could_send": could_be_sent_to,
                "has_address_now": answer.has_address,
                "consent": answer.consent,
                "consent_source": answer.consent_source,
                "consent_recorded_at": answer.consent_recorded_at,
                "consent_evidence": answer.consent_evidence,
                "suppressions": held,
                "frequency_cap": cap,
            }
        )
        return
    could = "could" if could_be_sent_to else "could not"
    console.print(f"{contact_id} [bold]{could}[/] be sent to by {channel} at {at:%Y-%m-%d %H:%M:%S} UTC:")
    for reason in answer.reasons():
        console.print(f"  {reason}", markup=False)
    if cap:
        console.print(f"  frequency cap: got {cap} already", markup=False)


@contacts.command("consent")
def record(
    contact: Contact,
    channel: OnChannel,
    state: Annotated[ConsentState, typer.Option(help="granted or withdrawn; pending: see ask-consent.")],
    source: Source,
    purpose: Purpose = MARKETING,
    form: Form = "",
    text_version: TextVersion = "",
    ip: Ip = "",
    said_at: SaidAt = None,
    as_json: AsJson = False,
) -> None:
    """Record what a contact said of one channel and purpose, with the evidence; nothing is ever overwritten.

    Example: campaigns contacts consent 10042 --channel email --state granted --source form --text-version 2026-01
    """
    if state is ConsentState.PENDING:
        raise typer.BadParameter("pending is recorded by ask-consent, which makes the link to confirm it")
    installation = open_installation()
    now = installation.clock()
    evidence = _evidence(form, text_version, ip, said_at, now)
    with writing(installation.engine) as connection:
        contact_id = identify_one(connection, contact)
        record_consent(
            connection, contact_id, channel, state, source=source, at=now, purpose=purpose, evidence=evidence
        )
    if as_json:
        show_json({"contact_id": contact_id, "channel": channel, "purpose": purpose, "state": state})
    else:
        console.print(f"{contact_id}: {state} for {purpose} by {channel}.")


@contacts.command("ask-consent")
def ask(
    contact: Contact,
    channel: OnChannel,
    source: Source,
    purpose: Purpose = MARKETING,
    form: Form = "",
    text_version: TextVersion = "",
    ip: Ip = "",
    said_at: SaidAt = None,
    as_json: AsJson = False,
) -> None:
    """Begin a double opt-in: consent is pending, and the link confirms it; send the link to that address only.

    Example: campaigns contacts ask-consent 10042 --channel email --source form --form https://shop.example/news
    """
    installation = open_installation()
    settings, now = installation.settings, installation.clock()
    evidence = _evidence(form, text_version, ip, said_at, now)
    with writing(installation.engine) as connection:
        contact_id = identify_one(connection, contact)
        asked = ask_consent(connection, contact_id, channel, source=source, at=now, purpose=purpose, evidence=evidence)
    url = asked.url(settings.public_url, settings.link_secret)
    if as_json:
        state = ConsentState.PENDING if url else ConsentState.GRANTED
        show_json({"contact_id": contact_id, "channel": channel, "purpose": purpose, "state": state, "url": url})
    elif url:
        console.print(url, markup=False)
    else:
        console.print(f"{contact_id} has granted it already: there is nothing to confirm.")


@attributes.command("list")
def list_attributes(as_json: AsJson = False) -> None:
    """Show all attributes: type, how many contacts have one (in the last snapshot), and what they mean.

    Example: campaigns attributes list
    """
    installation = open_installation()
    with reading(installation.engine) as connection:
        declared = catalogue.catalogue(connection)
    shown = declared.with_columns(contacts=pl.lit(None, pl.Int64))
    if installation.lake.exists(ASSET):
        snapshot = pl.scan_parquet(installation.lake.path(ASSET))
        columns = [name for name in declared["attribute"] if name in snapshot.collect_schema()]
        having = snapshot.select(pl.col(columns).count()).collect().row(0, named=True) if columns else {}
        counted = [having.get(name) for name in declared["attribute"]]
        shown = shown.with_columns(contacts=pl.Series(counted, dtype=pl.Int64))
    shown = shown.select("attribute", "type", "contacts", "description", "declared_by", "declared_at")
    if as_json:
        show_json(shown)
    else:
        show_table("attributes", shown)


@attributes.command()
def describe(
    name: Attribute,
    text: Annotated[str, typer.Argument(help="What it means, and where it comes from.")],
    as_json: AsJson = False,
) -> None:
    """Say what an attribute means, for those who write segments.

    Example: campaigns attributes describe plan "What they pay for; from the billing system, every night."
    """
    installation = open_installation()
    with writing(installation.engine) as connection:
        catalogue.describe(connection, name, text)
    if as_json:
        show_json({"attribute": name, "description": text.strip()})
    else:
        console.print(f"{name} is described.", markup=False)


@attributes.command()
def declare(
    name: Attribute, kind: Annotated[ValueType, typer.Argument(metavar="TYPE")], as_json: AsJson = False
) -> None:
    """Add an attribute before the first import brings it, so that its type is not inferred.

    Example: campaigns attributes declare postal_code string
    """
    installation = open_installation()
    with writing(installation.engine) as connection:
        catalogue.declare_attributes(connection, {name: kind}, declared_by=operator(), at=installation.clock())
        known = catalogue.known_attributes(connection)[name]
    if as_json:
        show_json({"attribute": name, "type": known})
    else:
        console.print(f"{name} is of type {known}.", markup=False)


@attributes.command()
def retype(
    name: Attribute, kind: Annotated[ValueType, typer.Argument(metavar="TYPE")], as_json: AsJson = False
) -> None:
    """Change an attribute's type, and all values with it; refused if one of them does not fit.

    Example: campaigns attributes retype postal_code string
    """
    installation = open_installation()
    with writing(installation.engine) as connection:
        written = catalogue.retype(connection, name, kind, at=installation.clock())
    if as_json:
        show_json({"attribute": name, "type": kind, "contacts": written})
    else:
        console.print(f"{name} is of type {kind} now; {written:,} contacts have a value of it.", markup=False)


def _evidence(form: str, text_version: str, ip: str, said_at: str | None, now: datetime) -> dict[str, str]:
    given = {"form": form, "text_version": text_version, "ip": ip, "by": operator()}
    if said_at:
        given["said_at"] = moment(said_at, now).isoformat()
    return {name: value for name, value in given.items() if value}
