"""The text part of an e-mail, made from its HTML where the author wrote none."""

import re
from itertools import groupby

from inscriptis import get_text
from inscriptis.css_profiles import RELAXED_CSS_PROFILE
from inscriptis.model.config import ParserConfig
from jinja2 import Environment
from lxml import html as lxml_html

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.messages.authoring.placeholders import Hidden, hide

_LAYOUT = ("table", "thead", "tbody", "tfoot", "tr", "td", "th")
_LINK = re.compile(r"\[([^\]\n]*)\]\((\S+?)\)")


def plain_text(environment: Environment, source: str) -> str:
    """`source`, HTML with Jinja2 in it, as readable text with the addresses of its links, and the same Jinja2 in it.

    InvalidInput if a statement of the HTML would be lost: it stands within a tag, and its author has to write the text.
    """
    hidden = hide(environment, source, as_comments=False)
    document = lxml_html.document_fromstring(hidden.text)
    for element in list(document.iter("head", "style", "script")):
        element.drop_tree()
    for element in document.xpath('//*[contains(@style, "display:none")]'):
        element.drop_tree()
    for element in document.iter(*_LAYOUT):  # tables lay e-mails out; as text their cells are paragraphs
        element.tag = "div"
        element.attrib.clear()
    for image in document.iter("img"):
        image.tag, image.text = "span", image.get("alt", "")
    config = ParserConfig(css=RELAXED_CSS_PROFILE, display_links=True)
    text = get_text(str(lxml_html.tostring(document, encoding="unicode")), config)
    _check_statements(hidden, text)
    lines = [_LINK.sub(_link, " ".join(line.split())) for line in text.strip().splitlines()]
    paragraphs = ["\n".join(group) for blank, group in groupby(lines, key=lambda line: not line) if not blank]
    return hidden.reveal("\n\n".join(paragraphs)) + "\n"


def _link(found: re.Match[str]) -> str:
    said, address = found[1].strip(), found[2]
    return address if said in ("", address) else f"{said}: {address}"


def _check_statements(hidden: Hidden, text: str) -> None:
    kept = [number for number in hidden.order(text) if number in hidden.statements]
    if kept != sorted(hidden.statements):
        lost = min(hidden.statements - set(kept), default=0)
        raise InvalidInput(
            f"no text part can be made: {hidden.tags[lost]} of the HTML has no place in it",
            "Write the text: text or text_file.",
        )
