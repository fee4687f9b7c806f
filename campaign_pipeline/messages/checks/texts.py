"""Checks of what is short: subjects, SMS and WhatsApp variables."""

import re
from collections.abc import Collection, Iterator, Mapping

from campaign_pipeline.messages.checks.finding import Finding
from campaign_pipeline.messages.sms import sms_parts

LONGEST_SUBJECT = 150
WHATSAPP_BODY = 1024
"""Characters that the body of a WhatsApp template may have, with its variables filled in."""

FREE_TEXT = 1600
"""Characters that the free text of a WhatsApp message may have at Twilio (error 21617)."""

STOP = r"\b(stop|end|cancel|unsubscribe|quit|opt.?out|abmelden|stopp)\b"
"""How an SMS says how to opt out, letter case aside; Python and Polars read it alike."""

_STOP = re.compile(STOP, re.IGNORECASE)
PLACEHOLDER = re.compile(r"\{\{\s*(\d+)\s*\}\}")


def check_subject(text: str) -> Iterator[Finding]:
    if len(text) > LONGEST_SUBJECT:
        yield Finding("long_subject", "subject", 0, f"has {len(text)} characters; most readers show 60, few over 150")


def check_sms(text: str, max_parts: int | None) -> Iterator[Finding]:
    parts = sms_parts(text)
    if max_parts is not None and parts > max_parts:
        yield Finding("too_many_parts", "body", 0, f"has {parts} parts, the template allows {max_parts}")
    if not _STOP.search(text):
        yield Finding("missing_stop", "body", 0, "does not say how to opt out, such as: Reply STOP to opt out")


def check_whatsapp(variables: Mapping[str, str], preview: str | None) -> Iterator[Finding]:
    """`variables`: {"1": text} as one contact gets them; `preview`: the approved text with {{1}}, {{2}} ..."""
    yield from check_variables(variables)
    if preview is not None:
        yield from check_approved(variables, preview)
        if len(filled(preview, variables)) > WHATSAPP_BODY:
            yield too_long()


def check_free_text(body: str) -> Iterator[Finding]:
    if len(body) > FREE_TEXT:
        yield Finding(
            "whatsapp_rule", "body", 0, f"has {len(body)} characters; WhatsApp takes {FREE_TEXT} of free text"
        )


def check_variables(variables: Mapping[str, str]) -> Iterator[Finding]:
    for number, text in variables.items():
        part = f"var:{number}"
        if not text.strip():
            yield Finding("whatsapp_rule", part, 0, "is empty, which WhatsApp refuses")
        if "    " in text:
            yield Finding("whatsapp_rule", part, 0, "has more than four spaces in a row, which WhatsApp refuses")


def check_approved(numbers: Collection[str], preview: str) -> Iterator[Finding]:
    """Whether the approved text has the variables that are given, `numbers`."""
    used = set(PLACEHOLDER.findall(preview))
    for number in sorted(used - set(numbers)):
        yield Finding("whatsapp_rule", f"var:{number}", 0, "stands in the approved text, but is not given")
    for number in sorted(set(numbers) - used):
        yield Finding("whatsapp_rule", f"var:{number}", 0, "is given, but does not stand in the approved text")


def too_long() -> Finding:
    return Finding("whatsapp_rule", "preview", 0, f"has more than {WHATSAPP_BODY} characters with its variables")


def filled(preview: str, variables: Mapping[str, str]) -> str:
    """The approved text with the variables in it, as the contact reads it."""
    return PLACEHOLDER.sub(lambda found: variables.get(found[1], found[0]), preview)
