"""The pages a contact sees: plain HTML that works without scripts, images or styles from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from http import HTTPStatus
from itertools import groupby

from starlette.responses import HTMLResponse

from campaign_pipeline.contacts.preferences import Preference
from campaign_pipeline.core.words import Channel, ConsentState

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the address of the page is the contact's key
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1.125rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }}
button {{ font: inherit; padding: .6rem 1.4rem; border: 0; border-radius: .3rem; color: #fff; background: #0b4f9e }}
fieldset {{ border: 1px solid #888; border-radius: .3rem; margin: 0 0 1rem }}
label {{ display: block; padding: .4rem 0 }}
button:focus-visible, input:focus-visible {{ outline: 3px solid #f0a000; outline-offset: 2px }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


def confirm_page() -> HTMLResponse:
    """Asks before anything happens: scanners and previews follow links too."""
    return _page(
        "Unsubscribe",
        "<p>You will not receive this kind of message from us any more.</p>\n"
        '<form method="post"><button type="submit">Confirm unsubscribing</button></form>',
    )


def done_page() -> HTMLResponse:
    return _page("You are unsubscribed", "<p>We have noted it. There is nothing else to do.</p>")


VIEW_HEADERS = HEADERS | {
    # The message as it was sent may show images and styles, also from elsewhere, and nothing else of it is active.
    "Content-Security-Policy": "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' https:; "
    "font-src https: data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox",
}

_CHANNELS = {
    Channel.EMAIL: "E-mail",
    Channel.SMS: "SMS",
    Channel.WHATSAPP: "WhatsApp",
    Channel.WEBHOOK: "In the app",
}


def view_page(parts: Mapping[str, str]) -> HTMLResponse:
    """The message in a browser: its HTML to the letter; of a message without HTML, its text."""
    if "html" in parts:
        return HTMLResponse(parts["html"], headers=VIEW_HEADERS)
    text = parts.get("body") or "\n".join(text for part, text in parts.items() if part.startswith("var:"))
    return _page("Your message", f'<p style="white-space: pre-wrap">{escape(text)}</p>')


def preferences_page(present: Sequence[Preference]) -> HTMLResponse:
    """A box for each topic and channel. It names no person: the link may be passed on with the message."""
    fields: list[str] = []
    for topic, some in groupby(present, key=lambda each: each.topic):
        boxes = "\n".join(map(_box, some))
        fields.append(
            f"<fieldset>\n<legend>{escape(topic.replace('_', ' ').capitalize())}</legend>\n{boxes}\n</fieldset>"
        )
    return _page(
        "Your preferences",
        "<p>Choose what you want to hear about, and where.</p>\n"
        '<form method="post">\n' + "\n".join(fields) + "\n"
        '<p><button type="submit">Save</button></p>\n'
        '<p><button type="submit" name="nothing" value="1">Unsubscribe from everything</button></p>\n</form>',
    )


def _box(preference: Preference) -> str:
    """What was shown goes back with what was chosen, so that only what was changed is recorded."""
    name = f"{preference.channel}:{preference.topic}"
    granted = preference.state is ConsentState.GRANTED
    was = ConsentState.GRANTED if granted else ConsentState.WITHDRAWN
    return (
        f'<input type="hidden" name="was" value="{escape(f"{name}:{was}")}">'
        f'<label><input type="checkbox" name="on" value="{escape(name)}"{" checked" * granted}> '
        f"{_CHANNELS[preference.channel]}</label>"
    )


def saved_page() -> HTMLResponse:
    return _page("Your preferences are saved", "<p>We have noted them. There is nothing else to do.</p>")


def gone_page() -> HTMLResponse:
    message = "This message is no longer kept here."
    return error_page("Nothing to show", message, HTTPStatus.NOT_FOUND)


def confirm_consent_page() -> HTMLResponse:
    """Asks before anything happens, as confirm_page does."""
    return _page(
        "Please confirm",
        "<p>You asked to hear from us. Confirm that this is you; you can unsubscribe at any time.</p>\n"
        '<form method="post"><button type="submit">Confirm</button></form>',
    )


def confirmed_page() -> HTMLResponse:
    return _page("Thank you", "<p>Your confirmation was received. There is nothing else to do.</p>")


def error_page(title: str, message: str, status: int) -> HTMLResponse:
    return _page(title, f"<p>{escape(message)}</p>", status)


def _page(title: str, content: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=escape(title), content=content), status, HEADERS)
