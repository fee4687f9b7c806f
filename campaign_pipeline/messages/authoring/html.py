"""The HTML part as it is stored: MJML compiled, style sheets inlined, the preheader put in."""

import re

import css_inline
import mrml
from jinja2 import Environment

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.messages.authoring.placeholders import hide

PREHEADER = (
    '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all" aria-hidden="true">{text}'
    + "&#847;&zwnj;&nbsp;" * 40  # so that mail readers do not fill their preview line with what comes next
    + "</div>"
)
_STYLE = re.compile(r"<style\b", re.IGNORECASE)
_BODY = re.compile(r"<body\b[^>]*>", re.IGNORECASE)


def compile_mjml(environment: Environment, source: str) -> str:
    """The HTML of an MJML source. InvalidInput if it is not MJML. Nothing is loaded from anywhere."""
    hidden = hide(environment, source, as_comments=False)
    try:
        compiled = mrml.to_html(hidden.text, parser_options=mrml.ParserOptions(include_loader=mrml.noop_loader()))
    except Exception as error:  # noqa: BLE001  (the binding raises its own errors, as plain ones)
        raise InvalidInput(f"is not MJML: {hidden.reveal(str(error))}") from None
    if sorted(hidden.order(compiled.content)) != sorted({*hidden.order(hidden.text)}):
        raise InvalidInput(
            "a Jinja2 tag stands between MJML elements, where MJML drops it",
            "Put it inside of mj-text, or around HTML in mj-raw.",
        )
    return hidden.reveal(compiled.content)


def inline_css(environment: Environment, source: str) -> str:
    """`source` with its style sheets as style attributes; they stay as well, for media queries.

    HTML without a style sheet comes back to the letter. Remote style sheets are never loaded.
    """
    if not _STYLE.search(source):
        return source
    hidden = hide(environment, source, as_comments=True)
    inliner = css_inline.CSSInliner(keep_style_tags=True, keep_at_rules=True, load_remote_stylesheets=False)
    inlined = inliner.inline(hidden.text)
    if sorted(hidden.order(inlined)) != list(range(len(hidden.tags))):
        raise InvalidInput(
            "a Jinja2 tag stands where HTML allows none", "Close what is open around it, or set inline_css: false."
        )
    return hidden.reveal(inlined)


def put_preheader(source: str, preheader: str) -> str:
    """`source` with the hidden line that mail readers show beside the subject, first thing in its body."""
    block = PREHEADER.format(text=preheader)
    body = _BODY.search(source)
    return source[: body.end()] + block + source[body.end() :] if body else block + source
