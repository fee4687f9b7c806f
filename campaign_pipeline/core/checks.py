"""What is looked for in messages before they are sent, by name, and how severe each is."""

from collections.abc import Mapping
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


def severities(changed: Mapping[str, str]) -> dict[str, Severity]:
    """The severity of every check, by `changed` or its own. InvalidInput if `changed` names what there is not."""
    for check, severity in changed.items():
        if check not in CHECKS:
            raise InvalidInput(f"there is no check {check!r}", f"There are: {', '.join(CHECKS)}.")
        if severity not in list(Severity):
            raise InvalidInput(f"check {check}: {severity!r} is no severity", "Use error, warning or off.")
    own = {check: severity for check, (severity, _) in CHECKS.items()}
    return own | {check: Severity(severity) for check, severity in changed.items()}
