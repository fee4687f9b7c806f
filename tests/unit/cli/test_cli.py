"""The command line: its help, its errors and exit codes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from campaign_pipeline.cli import app as application
from campaign_pipeline.cli.app import app
from campaign_pipeline.core import errors
from campaign_pipeline.core.paths import PROJECT_DIR

Campaigns = Callable[..., Any]


def commands(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its words, such as `contacts import`."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = list(commands())
NAMES = [name for name, _ in COMMANDS]


def test_these_are_the_commands() -> None:
    assert sorted(NAMES) == [
        "apply",
        "attributes declare",
        "attributes describe",
        "attributes list",
        "attributes retype",
        "cancel",
        "contacts ask-consent",
        "contacts consent",
        "contacts could-send",
        "contacts erase",
        "contacts export",
        "contacts import",
        "coupons import",
        "coupons list",
        "coupons release",
        "dictionary",
        "doctor",
        "doubts list",
        "doubts resolve",
        "events bounce",
        "events certificate",
        "events import",
        "events rejected",
        "events replay",
        "experiments import",
        "experiments plan",
        "experiments results",
        "export",
        "init",
        "lists add",
        "lists remove",
        "lists show",
        "machines",
        "media add",
        "media list",
        "messages show",
        "pause",
        "quiet-hours",
        "report",
        "results",
        "resume",
        "rollouts advance",
        "rollouts decide",
        "rollouts list",
        "rollouts show",
        "rollouts stop",
        "run",
        "sandbox",
        "segments changes",
        "segments diff",
        "segments evaluate",
        "segments explain",
        "segments history",
        "segments preview",
        "segments schema",
        "senders list",
        "senders reopen",
        "serve",
        "status",
        "suppressions add",
        "suppressions export",
        "suppressions import",
        "suppressions lift",
        "suppressions list",
        "tables import",
        "tables list",
        "tables show",
        "tags add",
        "tags remove",
        "tags show",
        "templates check",
        "templates explain",
        "templates preview",
        "templates send-test",
        "templates sheet",
        "work",
    ]


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=NAMES)
def test_every_command_says_what_it_does_with_an_example(name: str, command: Any) -> None:
    first, *_ = command.help.splitlines()
    assert first.endswith(".")
    (example,) = [line.strip() for line in command.help.splitlines() if line.strip().startswith("Example:")]
    assert example.startswith(f"Example: campaigns {name}")
    assert all(getattr(each, "help", None) for each in command.params if each.param_type_name == "option")


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_well_and_reads_nothing(campaigns: Campaigns, home: Path, name: str) -> None:
    called = campaigns(*name.split(), "--help")
    assert called.code == 0
    assert "Example: campaigns" in called.out
    assert list(home.iterdir()) == []


def test_every_command_is_documented() -> None:
    page = (PROJECT_DIR / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"campaigns {name}" not in page] == []


def test_all_but_the_servers_speak_to_machines() -> None:
    without = {name for name, command in COMMANDS if "--json" not in {o for p in command.params for o in p.opts}}
    assert without == {"sandbox", "serve"}


def test_the_command_line_does_not_load_dagster() -> None:
    """It takes seconds: only commands that run something through it pay for it."""
    code = "import sys, campaign_pipeline.cli.app; print([name for name in sys.modules if name.startswith('dagster')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CampaignError, 1),
        (errors.InvalidInput, 2),
        (errors.NotFound, 3),
        (errors.Refused, 4),
        (errors.GateFailed, 5),
        (errors.Halted, 6),
        (errors.Inconsistent, 7),
    ],
)
def test_each_error_has_its_exit_code_and_one_shape(
    campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch, error: type[errors.CampaignError], code: int
) -> None:
    def fail() -> None:
        raise error(r"field [a\[b] is wrong", "Do [this].")

    monkeypatch.setattr(application, "app", fail)
    shown = campaigns("status")
    assert (shown.code, shown.out) == (code, "")
    assert shown.err == "error: field [a\\[b] is wrong\n  Do [this].\n"
    machine = campaigns("status", "--json")
    assert (machine.code, machine.err) == (code, "")
    assert machine.json == {
        "error": {"type": error.__name__, "message": r"field [a\[b] is wrong", "hint": "Do [this]."}
    }


def test_a_definition_error_names_file_and_line(campaigns: Campaigns, home: Path) -> None:
    campaigns("init")
    (home / "segments").mkdir()
    (home / "segments" / "a.yaml").write_text("segment: a\nwhere: {did: {evnt: x}}\n")
    called = campaigns("apply", home, "--json")
    assert called.code == 2
    assert called.json["error"]["type"] == "InvalidDefinition"
    assert called.json["error"]["message"] == (
        f"{home}/segments/a.yaml:2: where.did: evnt: is not a field here; did you mean event?"
    )


@pytest.mark.parametrize("arguments", [("gone",), ("apply",), ("status", "--gone"), ("contacts",)])
def test_a_command_line_that_is_wrong_does_not_succeed(campaigns: Campaigns, arguments: tuple[str, ...]) -> None:
    assert campaigns(*arguments).code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("apply", "."),
        ("contacts", "import", "a.csv"),
        ("segments", "preview", "a"),
        ("pause", "a"),
        ("run", "a"),
        ("results", "a"),
    ],
)
def test_before_init_every_command_says_init(campaigns: Campaigns, arguments: tuple[str, ...]) -> None:
    called = campaigns(*arguments, "--json")
    assert called.code == 4
    assert called.json["error"]["hint"] == "Run: campaigns init"


def test_a_wrong_setting_is_named(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGN_SENDGRID_BATCH_SIZE", "many")
    called = campaigns("status", "--json")
    assert called.code == 2
    assert called.json["error"]["message"].startswith("CAMPAIGN_SENDGRID_BATCH_SIZE: ")
