"""Every benchmark runs, checks what it did, and prints one JSON object with figures, baseline and ratio."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
SCRIPTS = sorted(path.stem for path in BENCH.glob("*.py") if path.stem != "common")


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCH / f"{script}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_benchmarks() -> None:
    assert {"dispatch", "ledger", "render", "segments", "webhooks"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_compares_itself_with_a_baseline(script: str) -> None:
    report = json.loads(run(script, "--small"))
    assert report["bench"] == script
    assert report["baseline"].pop("method")
    assert report["baseline"]
    assert set(report["ratio"]) == set(report["baseline"]) <= set(report["figures"])
    assert all(figure > 0 for figure in report["figures"].values())
    for name, baseline in report["baseline"].items():
        figure = report["figures"][name]
        less_is_better = not name.endswith("_per_s")
        better = baseline / figure if less_is_better else figure / baseline
        # Figures are printed with three digits, ratios with two decimals.
        assert report["ratio"][name] == pytest.approx(better, rel=0.02, abs=0.01), name
    assert all(isinstance(value, int | float) for value in report["target"].values())


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_says_what_it_measures(script: str) -> None:
    told = run(script, "--help")
    assert "--small" in told
    assert "Baseline:" in told
