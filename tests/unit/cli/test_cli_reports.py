"""Reports and exports from the command line, on an installation in which nothing has run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.analytics.warehouse import VIEWS

Campaigns = Callable[..., Any]


@pytest.fixture
def begun(campaigns: Campaigns) -> Campaigns:
    assert campaigns("init").code == 0
    return campaigns


def test_the_report_of_recent_runs_is_written_also_without_any(begun: Campaigns, home: Path) -> None:
    result = begun("report", "--since", "7d", "--json")
    assert result.json == {"report": str(home / "data" / "reports" / "recent.html"), "runs": []}
    assert "No campaign has run since" in Path(result.json["report"]).read_text(encoding="utf-8")
    assert begun("report", "--since", "2w").out.startswith("Report: ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "a report is of one campaign, or of the runs since a time"),
        (("spring-sale", "--since", "7d"), "a report is of one campaign, or of the runs since a time"),
        (("--since", "yesterday"), "--since 'yesterday' is not a length of time"),
        (("--since", "0d"), "--since '0d' is not a length of time"),
    ],
)
def test_a_report_of_what_cannot_be_is_refused(begun: Campaigns, arguments: tuple[str, ...], problem: str) -> None:
    result = begun("report", *arguments)
    assert result.code == 2
    assert problem in result.err


def test_without_a_table_the_tables_are_listed(begun: Campaigns) -> None:
    assert [row["table"] for row in begun("export", "--json").json] == list(VIEWS)
    assert "campaign_metrics" in begun("export").out


def test_the_format_is_that_of_the_name_or_as_it_is_said(begun: Campaigns, home: Path) -> None:
    made = [
        begun("export", "--table", "ab_results", *more, "--json").json
        for more in ((), ("-o", "a.parquet"), ("-o", "b.txt"), ("-o", "c.csv", "--format", "parquet"))
    ]
    assert [(row["file"], row["format"], row["rows"]) for row in made] == [
        ("ab_results.csv", "csv", 0),
        ("a.parquet", "parquet", 0),
        ("b.txt", "csv", 0),
        ("c.csv", "parquet", 0),
    ]
    assert (home / "c.csv").read_bytes().startswith(b"PAR1")
    assert begun("export", "--table", "ab_results").out == "0 rows of ab_results in ab_results.csv.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--table", "contacts"), 3, "table 'contacts' is not in the warehouse"),
        (("nobody", "--table", "ab_results"), 3, "'nobody' is neither a run nor a campaign"),
        (("spring-sale",), 2, "no table is given"),
        (("--table", "ab_results", "-o", "no/such.csv"), 2, "folder 'no' does not exist"),
    ],
)
def test_what_cannot_be_exported_is_named(
    begun: Campaigns, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    result = begun("export", *arguments, "--json")
    assert result.code == code
    assert problem in json.loads(result.out)["error"]["message"]
