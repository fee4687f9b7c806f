"""The links of an HTML source: those to the web can be changed; everything else stays as it is."""

import re
from collections.abc import Callable, Mapping
from html import escape, unescape
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from jinja2 import Environment, TemplateSyntaxError

from campaign_pipeline.messages.authoring.placeholders import hide

_COMMENT = re.compile(r"<!--.*?(?:-->|$)|<(style|script|title|textarea)\b.*?(?:</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"""<(?P<name>[a-z][^\s/>]*)(?:[^>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(?P<name>\s[^\s=>"'/]+\s*=\s*)(?P<value>"[^"]*"|'[^']*'|[^\s"'>]+)""")
_WEB = re.compile(r"\s*https?://[^\s/?#]", re.IGNORECASE)


def rewrite_links(
    environment: Environment, source: str, change: Callable[[str], str], varying: Callable[[str], str] | None = None
) -> str:
    """`source` with each link to the web as `change` has it.

    `change` gets the address as it is (not escaped for HTML), in which each Jinja2 tag is a word of letters and
    digits, and gives the new one in the same way. Anchors, mailto:, tel:, addresses that begin with a Jinja2 tag (merge
    tags such as the unsubscribe link) and what stands in comments and style sheets stay to the letter.

    `varying` is used instead for addresses with Jinja2 tags. What it gives may stand within further tags, so it gets
    whole ones only: an address in which an `if` begins that ends elsewhere stays to the letter.
    """
    hidden = hide(environment, source, as_comments=False)

    def changed(address: str) -> str:
        if varying is None or not hidden.order(address):
            return change(address)
        return varying(address) if _is_template(environment, hidden.reveal(address)) else address

    def attribute(found: re.Match[str]) -> str:
        if found["name"].strip(" \t\r\n=").lower() != "href":
            return found[0]
        value = found["value"]
        mark = value[0] if value[0] in "\"'" else ""
        address = unescape(value[1:-1] if mark else value)
        new = changed(address.strip()) if _WEB.match(address) else address
        return found[0] if new == address else f"{found['name']}{mark or chr(34)}{escape(new)}{mark or chr(34)}"

    def tag(found: re.Match[str]) -> str:
        return _ATTRIBUTE.sub(attribute, found[0]) if found["name"].lower() in ("a", "area") else found[0]

    pieces, start = list[str](), 0
    for skipped in _COMMENT.finditer(hidden.text):
        pieces += [_TAG.sub(tag, hidden.text[start : skipped.start()]), skipped[0]]
        start = skipped.end()
    return hidden.reveal("".join((*pieces, _TAG.sub(tag, hidden.text[start:]))))


def _is_template(environment: Environment, text: str) -> bool:
    try:
        environment.parse(text)
    except TemplateSyntaxError:
        return False
    return True


def with_parameters(address: str, parameters: Mapping[str, str]) -> str:
    """`address` with `parameters` in its query, unless it has them; the fragment stays last."""
    parts = urlsplit(address)
    known = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items() if name not in known)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added))))) if added else address
