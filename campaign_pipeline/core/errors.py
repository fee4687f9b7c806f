"""The errors of the product, as one small tree.

    CampaignError                 every error a user can meet; `hint` says what to do next
    |- InvalidInput               a file, a definition, an argument or a setting is wrong
    |  '- InvalidDefinition       ... in a YAML file: carries file, line and field
    |- NotFound                   a campaign, segment, run ... that does not exist
    |- Refused                    understood, but not allowed now (live sending off, wrong state)
    |- GateFailed                 a check that stands before sending did not pass
    |- Halted                     a provider answered so that nothing more may be sent
    |- Unavailable                the database is gone, full or locked: later the same may go well
    '- Inconsistent               two records that must agree do not; never continue

The command line turns each into one message and an exit code (`cli`), Dagster into a failed step.
Messages name the thing and the value, never a person's address or name.
"""

from pathlib import Path


class CampaignError(Exception):
    """Base of all. `message` says what is wrong, `hint` what to do next (may be empty)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n  {hint}" if hint else message)
        self.message = message
        self.hint = hint


class InvalidInput(CampaignError):
    exit_code = 2


class InvalidDefinition(InvalidInput):
    """A definition file is wrong at `file`:`line`, in `field` (a dotted path)."""

    def __init__(self, file: Path, line: int, field: str, problem: str, hint: str = "") -> None:
        where = f"{file}:{line}" if line else str(file)
        super().__init__(f"{where}: {field}: {problem}" if field else f"{where}: {problem}", hint)
        self.file, self.line, self.field, self.problem = file, line, field, problem


class NotFound(CampaignError):
    exit_code = 3


class Refused(CampaignError):
    exit_code = 4


class GateFailed(CampaignError):
    exit_code = 5


class Halted(CampaignError):
    exit_code = 6


class Inconsistent(CampaignError):
    exit_code = 7


class Unavailable(CampaignError):
    exit_code = 8
