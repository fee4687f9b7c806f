"""Checks of rendered messages: of all by columns where that is cheap, of some where a browser's eyes are needed.

Columns only tell which messages to look at; what is wrong with them is said by the checks of one message.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import polars as pl

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.checks.finding import SHOWN, Finding, together
from campaign_pipeline.messages.checks.html import CLIPPED_AT, check_html
from campaign_pipeline.messages.checks.texts import (
    FREE_TEXT,
    LONGEST_SUBJECT,
    PLACEHOLDER,
    STOP,
    WHATSAPP_BODY,
    check_approved,
    check_free_text,
    check_sms,
    check_subject,
    check_variables,
    filled,
    too_long,
)
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import Arm, MessageSkeleton
from campaign_pipeline.messages.vectorised.assemble import assembled

SLICE = 50_000
"""Messages whose texts are in memory at once."""

LOOKED_AT = 20
"""E-mails of a variant and language whose HTML is read."""

READ = ("message_id", "contact_id", "variant", "locale", "fragments", "sms_parts")
"""Of messages: what the checks look at."""

Unsubscribe = Callable[[str], str]
"""message_id -> the unsubscribe link that must stand in the message."""


def check_messages(
    skeletons: Mapping[Arm, MessageSkeleton],
    messages: pl.DataFrame,
    templates: Mapping[str, Template],
    unsubscribe: Unsubscribe,
    looked_at: int = LOOKED_AT,
) -> list[Finding]:
    """What is wrong with `messages` (rows of the messages frame); `templates` are by variant, as they were rendered.

    The HTML of `looked_at` e-mails of each variant and language is read, spread evenly.
    """
    found: list[Finding] = []
    for (variant, locale), rows in messages.group_by("variant", "locale", maintain_order=True):
        name, language = str(variant), str(locale)
        known = templates[name].languages  # a language may be gone from a template that was applied again meanwhile
        of_texts = language if language in known else known[0]
        arm = _Arm(skeletons[name, language], rows, templates[name], of_texts)
        of_arm = together(_CHECKS[arm.template.channel](arm, unsubscribe, looked_at))
        found += [replace(each, variant=name, locale=language) for each in of_arm]
    return found


@dataclass(frozen=True)
class _Arm:
    """The messages of one variant in one language."""

    skeleton: MessageSkeleton
    rows: pl.DataFrame
    template: Template
    locale: str

    def column(self, part: str) -> pl.Series:
        """The whole text of one part of every message."""
        return self.of_texts(part, lambda texts: texts)

    def of_texts(self, part: str, told: Callable[[pl.Series], pl.Series]) -> pl.Series:
        """What is `told` of the whole text of one part of every message; few texts are in memory at once."""
        start, skeleton = self._fragments_of(part)

        def of_slice(listed: pl.Series) -> pl.Series:
            fragments = [listed.list.get(slot) for slot in range(start, start + skeleton.slots)]
            return told(assembled(skeleton, fragments, len(listed)))

        return self._slice_by_slice(of_slice)

    def bytes(self, part: str) -> pl.Series:
        """The size of one part of every message, without putting it together."""
        start, skeleton = self._fragments_of(part)
        constants = sum(len(constant.encode()) for constant in skeleton.constants)

        def of_slice(listed: pl.Series) -> pl.Series:
            own = listed.list.slice(start, skeleton.slots).to_frame("all")
            sizes = own.select(pl.col("all").list.eval(pl.element().str.len_bytes()).list.sum())
            return sizes.to_series() + constants

        return self._slice_by_slice(of_slice)

    def _fragments_of(self, part: str) -> tuple[int, Skeleton]:
        """Where the part's fragments begin among those of a message; its skeleton."""
        start = 0
        for name, skeleton in self.skeleton.parts:
            if name == part:
                return start, skeleton
            start += skeleton.slots
        raise KeyError(part)

    def _slice_by_slice(self, of_slice: Callable[[pl.Series], pl.Series]) -> pl.Series:
        listed = self.rows["fragments"]
        starts = range(0, max(len(listed), 1), SLICE)
        return pl.concat([of_slice(listed.slice(start, SLICE)) for start in starts])

    def texts(self, row: int) -> dict[str, str]:
        return self.skeleton.assemble(self.rows["fragments"][row].to_list())

    def where(self, wrong: pl.Series, check: str, says: Callable[[int], Iterable[Finding]]) -> Iterator[Finding]:
        """What `says` finds of `check` in the first row where `wrong` is true, told of all those rows."""
        rows = wrong.arg_true()
        if rows.is_empty():
            return
        contacts = self.rows["contact_id"].gather(rows.head(SHOWN)).to_list()
        for each in says(int(rows[0])):
            if each.check == check:
                yield replace(each, contacts=len(rows), sample=tuple(contacts))


def _email(arm: _Arm, unsubscribe: Unsubscribe, looked_at: int) -> Iterator[Finding]:
    long = arm.of_texts("subject", lambda subjects: subjects.str.len_chars() > LONGEST_SUBJECT)
    yield from arm.where(long, "long_subject", lambda row: check_subject(arm.texts(row)["subject"]))
    messages, contacts = arm.rows["message_id"], arm.rows["contact_id"]

    def of_html(row: int) -> Iterator[Finding]:
        return check_html(arm.texts(row)["html"], unsubscribe(messages[row]))

    yield from arm.where(arm.bytes("html") > CLIPPED_AT, "clipped_html", of_html)
    source = arm.template.parts(arm.locale)["html"]
    for row in range(0, arm.rows.height, max(1, -(-arm.rows.height // looked_at))):
        findings = [each for each in of_html(row) if each.check != "clipped_html"]
        lines = _source_lines(arm.texts(row)["html"], source) if any(each.line for each in findings) else {}
        for each in findings:
            yield replace(each, line=lines.get(each.line, 0), contacts=1, sample=(contacts[row],))


def _sms(arm: _Arm, _unsubscribe: Unsubscribe, _looked_at: int) -> Iterator[Finding]:
    limit = arm.template.max_parts

    def of_body(row: int) -> Iterator[Finding]:
        return check_sms(arm.texts(row)["body"], limit)

    if limit is not None:
        yield from arm.where(arm.rows["sms_parts"] > limit, "too_many_parts", of_body)
    silent = arm.of_texts("body", lambda bodies: ~bodies.str.contains(f"(?i){STOP}"))
    yield from arm.where(silent, "missing_stop", of_body)


def _whatsapp(arm: _Arm, _unsubscribe: Unsubscribe, _looked_at: int) -> Iterator[Finding]:
    names = [part for part, _ in arm.skeleton.parts]
    if "body" in names:
        bodies = arm.column("body")
        yield from arm.where(
            bodies.str.len_chars() > FREE_TEXT, "whatsapp_rule", lambda row: check_free_text(bodies[row])
        )
        return
    parts = [part for part in names if part.startswith("var:")]
    variables = {part.removeprefix("var:"): arm.column(part) for part in parts}
    for number, texts in variables.items():
        refused = (texts.str.strip_chars() == "") | texts.str.contains("    ", literal=True)
        yield from arm.where(refused, "whatsapp_rule", _of_variable(number, texts))
    if (preview := arm.template.texts(arm.locale).preview) is None:
        return
    yield from check_approved(variables, preview)
    length = pl.Series([len(filled(preview, dict.fromkeys(variables, "")))]).new_from_index(0, arm.rows.height)
    for number in PLACEHOLDER.findall(preview):
        if number in variables:
            length = length + variables[number].str.len_chars()
    yield from arm.where(length > WHATSAPP_BODY, "whatsapp_rule", lambda _row: [too_long()])


def _webhook(_arm: _Arm, _unsubscribe: Unsubscribe, _looked_at: int) -> Iterator[Finding]:
    """What a receiver can read is between it and the author."""
    return iter(())


def _of_variable(number: str, texts: pl.Series) -> Callable[[int], Iterable[Finding]]:
    return lambda row: check_variables({number: texts[row]})


_CHECKS: dict[Channel, Callable[[_Arm, Unsubscribe, int], Iterator[Finding]]] = {
    Channel.EMAIL: _email,
    Channel.SMS: _sms,
    Channel.WHATSAPP: _whatsapp,
    Channel.WEBHOOK: _webhook,
}


def _source_lines(rendered: str, source: str) -> dict[int, int]:
    """line of the rendered text -> line of its source, for those lines that can be told."""
    found: dict[int, int] = {}
    matcher = SequenceMatcher(None, rendered.splitlines(), source.splitlines(), autojunk=False)
    for _, start, end, at, until in matcher.get_opcodes():
        for line in range(start, end):
            if end - start == until - at:
                found[line + 1] = at + line - start + 1
            elif until - at == 1:
                found[line + 1] = at + 1
    return found
