"""The checks by name, how severe each is, and what one of them found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from campaign_pipeline.core.errors import InvalidInput


class Severity(StrEnum):
    ERROR = "error"  # nothing is sent
    WARNING = "warning"  # it is shown
    OFF = "off"  # it is not looked for


CHECKS: dict[str, tuple[Severity, str]] = {
    "unknown_variable": (Severity.ERROR, "a variable that does not exist, or a field that contacts do not have"),
    "not_rendered": (Severity.ERROR, "a message that cannot be rendered: a null is printed, or an expression fails"),
    "empty_part": (Severity.ERROR, "a part that says nothing"),
    "broken_html": (Severity.WARNING, "HTML in which tags are not closed, or not in their order"),
    "bad_link": (Severity.ERROR, "a link that is no address"),
    "missing_unsubscribe": (Severity.ERROR, "an e-mail without the unsubscribe link"),
    "clipped_html": (Severity.WARNING, "HTML of more than 100 KB, of which Gmail shows the beginning only"),
    "image_without_alt": (Severity.WARNING, "an image without a text for those who do not see it"),
    "long_subject": (Severity.WARNING, "a subject of more than 150 characters"),
    "too_many_parts": (Severity.ERROR, "an SMS of more parts than the template's max_parts"),
    "missing_stop": (Severity.WARNING, "an SMS that does not say how to opt out"),
    "whatsapp_rule": (Severity.ERROR, "variables that WhatsApp refuses"),
    "missing_media": (Severity.ERROR, "media that were not added"),
}
"""{check: (severity unless the settings say otherwise, what it finds)}"""


@dataclass(frozen=True, order=True)
class Finding:
    """`line` is that of the part's source (0: of the part as a whole). No data of a contact stands in `problem`."""

    check: str
    part: str
    line: int
    problem: str
    severity: Severity = Severity.ERROR
    variant: str = ""
    locale: str = ""
    contacts: int = 0
    sample: tuple[str, ...] = ()

    def says(self) -> str:
        where = ", ".join(
            filter(None, (self.variant, self.locale, self.part, f"line {self.line}" if self.line else ""))
        )
        who = f" ({self.contacts:,} contacts; first {', '.join(self.sample)})" if self.contacts else ""
        return f"{where}: {self.problem}{who}"


def graded(findings: Iterable[Finding], severities: Mapping[str, str]) -> list[Finding]:
    """The findings with their severity, by `severities` (check -> severity) or the check's own; errors first.

    Those of checks that are off are left out. InvalidInput if `severities` names what there is not.
    """
    chosen = {check: severity for check, (severity, _) in CHECKS.items()} | _read(severities)
    kept = (replace(each, severity=chosen[each.check]) for each in findings if chosen[each.check] is not Severity.OFF)
    return sorted(kept, key=lambda each: (each.severity is not Severity.ERROR, each))


def _read(severities: Mapping[str, str]) -> dict[str, Severity]:
    for check, severity in severities.items():
        if check not in CHECKS:
            raise InvalidInput(f"there is no check {check!r}", f"There are: {', '.join(CHECKS)}.")
        if severity not in list(Severity):
            raise InvalidInput(f"check {check}: {severity!r} is no severity", "Use error, warning or off.")
    return {check: Severity(severity) for check, severity in severities.items()}
