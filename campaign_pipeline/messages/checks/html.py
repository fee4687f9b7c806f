"""Checks of the HTML of an e-mail, as a browser reads it."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from lxml import html as lxml_html
from lxml.etree import ParserError
from tinyhtml5.parser import HTMLParser

from campaign_pipeline.messages.checks.finding import Finding

CLIPPED_AT = 102_400
"""Bytes of HTML that Gmail shows; what comes after is behind a link."""

_HARMLESS = {
    "unknown-doctype",
    "expected-doctype-but-got-start-tag",
    "expected-doctype-but-got-chars",
    "duplicate-attribute",
    "unexpected-char-in-comment",
    "expected-named-entity",
    "named-entity-without-semicolon",
}
_SCHEMES = {"http", "https", "mailto", "tel", "sms", "geo", "whatsapp", "webcal"}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s\[\]]+)", re.IGNORECASE)


def check_html(text: str, unsubscribe_url: str) -> Iterator[Finding]:
    """What is wrong with `text`, the whole HTML part as one contact gets it; lines are those of `text`."""
    yield from _broken(text)
    try:
        document = lxml_html.document_fromstring(text)
    except ParserError:
        return
    said = document.xpath("//text()[not(ancestor::head or ancestor::style or ancestor::script)]")
    if not "".join(said).strip() and document.find(".//img") is None:
        yield Finding("empty_part", "html", 0, "shows neither text nor an image")
    links = [(each.sourceline or 0, each.get("href", "")) for each in document.iter("a", "area")]
    for line, address in links:
        if problem := link_problem(address):
            yield Finding("bad_link", "html", line, f"a link {problem}")
    if unsubscribe_url not in (address for _, address in links):
        yield Finding("missing_unsubscribe", "html", 0, "has no link to {{ unsubscribe_url }}")
    for image in document.iter("img"):
        if image.get("alt") is None:
            yield Finding(
                "image_without_alt", "html", image.sourceline or 0, 'an image has no alt (alt="" for decoration)'
            )
    if (size := len(text.encode())) > CLIPPED_AT:
        yield Finding("clipped_html", "html", 0, f"has {size / 1024:,.0f} KB; Gmail shows 100")


def link_problem(address: str) -> str | None:
    """Why `address` is no link, or None; it is not quoted: it may hold a contact's data."""
    stripped = address.strip()
    if not stripped:
        return "has no address"
    if stripped.startswith("#"):
        return None
    try:
        parts = urlsplit(stripped)
        _ = parts.port
    except ValueError:
        return "is not an address"
    if not parts.scheme:
        return "has no https:// in front, so that it leads nowhere in a mail"
    if parts.scheme.lower() not in _SCHEMES:
        return f"has the scheme {parts.scheme[:20]}:, which mail readers do not open"
    if parts.scheme.lower() in ("http", "https"):
        if not _HOST.fullmatch(parts.hostname or ""):
            return "names no host"
        if any(character.isspace() for character in stripped):
            return "has a space in it: use | urlencode for what contacts fill in"
    elif not parts.path:
        return f"has nothing after {parts.scheme}:"
    return None


def _broken(text: str) -> Iterator[Finding]:
    parser = HTMLParser()
    parser.parse(text)
    for (line, _), problem, details in parser.errors:
        if problem not in _HARMLESS:
            tag = f" <{details['name']}>" if "name" in details else ""
            yield Finding("broken_html", "html", line, f"{problem.replace('-', ' ')}{tag}")
