"""The benchmarks run, on small sizes: what they measure is for people, that they work is for tests."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def report_of(name: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCH / f"{name}.py"), "--small"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["million", "ledger", "dispatch"])
def test_a_benchmark_reports_one_json_object(name: str) -> None:
    report = report_of(name)
    assert report["bench"] == name
    assert report["figures"]
    assert all(figure > 0 for figure in report["figures"].values())
    assert set(report["ratio"]) == set(report["baseline"]) - {"method"}
