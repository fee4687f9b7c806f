"""What one of the checks found."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace

import polars as pl

from campaign_pipeline.core.checks import CHECKS, Severity, severities

__all__ = ["CHECKS", "SHOWN", "Finding", "Severity", "as_frame", "graded", "together"]

SHOWN = 5
"""Contact ids that a finding names."""


@dataclass(frozen=True, order=True)
class Finding:
    """`line` is that of the part's source (0: of the part as a whole). No data of a contact stands in `problem`.

    `contacts`: how many of those that were looked at it is true of; 0: of everybody, or of the made-up one.
    """

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


def graded(findings: Iterable[Finding], changed: Mapping[str, str]) -> list[Finding]:
    """The findings with their severity, by `changed` (check -> severity) or the check's own; errors first.

    Those of checks that are off are left out. InvalidInput if `changed` names what there is not.
    """
    chosen = severities(changed)
    kept = (replace(each, severity=chosen[each.check]) for each in findings if chosen[each.check] is not Severity.OFF)
    return sorted(kept, key=lambda each: (each.severity is not Severity.ERROR, each))


def together(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that say the same of several contacts as one, in the order of the first of each."""
    same: dict[Finding, list[Finding]] = defaultdict(list)
    for each in findings:
        same[replace(each, contacts=0, sample=())].append(each)
    return [
        replace(
            one,
            contacts=sum(each.contacts for each in those),
            sample=tuple(dict.fromkeys(contact for each in those for contact in each.sample))[:SHOWN],
        )
        for one, those in same.items()
    ]


def as_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """check, part, line, problem, severity, variant, locale, contacts, first_contacts: a row a finding."""
    rows = [(*astuple(replace(each, sample=()))[:-1], ", ".join(each.sample)) for each in findings]
    names = ("check", "part", "line", "problem", "severity", "variant", "locale", "contacts", "first_contacts")
    kinds = {name: pl.Int64 if name in ("line", "contacts") else pl.String for name in names}
    return pl.DataFrame(rows, schema=kinds, orient="row")
