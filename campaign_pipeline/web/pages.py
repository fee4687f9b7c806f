"""The pages a contact sees: plain HTML that works without scripts, images or styles from elsewhere."""

from html import escape

from starlette.responses import HTMLResponse

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
button:focus-visible {{ outline: 3px solid #f0a000; outline-offset: 2px }}
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
