"""Retake the pictures of the README: the Dagster UI with the demo's runs in it, and the demo's report.

Run `make demo` first. Needs Chromium (`apt-get install chromium`, or a Chrome on the PATH).
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.demo.servers import free_ports

IMAGES = PROJECT_DIR / "docs" / "images"
REPORT = PROJECT_DIR / "data" / "reports" / "demo.html"
RUN = "spring-sale--20260302t090000z"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
START_SECONDS = 60
PAGES = {
    "asset-graph": ("/assets/campaign_report?view=lineage&lineageScope=upstream&lineageDepth=12", "1700,620"),
    "audience": (f"/assets/audience?view=partitions&partition={RUN}", "1500,1150"),
}


def main() -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"No browser found: install one of {', '.join(BROWSERS)}.")
    if not REPORT.exists():
        sys.exit(f"{REPORT} is not there: run make demo first.")
    IMAGES.mkdir(exist_ok=True)
    with dagster_ui() as url:
        for name, (path, size) in PAGES.items():
            take(browser, f"{url}{path}", IMAGES / f"{name}.png", size)
    take(browser, REPORT.as_uri(), IMAGES / "report.png", "1100,1150")


@contextmanager
def dagster_ui() -> Iterator[str]:
    """The web server alone, read-only, on a free port: no daemon, so that nothing is started."""
    (port,) = free_ports(1)
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "--read-only", "-h", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "-p", str(port), "-w", "workspace.yaml"],
        cwd=PROJECT_DIR,
        env={**os.environ, "DAGSTER_HOME": str(PROJECT_DIR)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/server_info", process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    sys.exit("The Dagster UI did not start.")


def take(browser: str, url: str, file: Path, size: str) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser,
                *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
                *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
                f"--user-data-dir={profile}",
                f"--window-size={size}",
                "--virtual-time-budget=20000",
                f"--screenshot={file}",
                url,
            ],
            check=True,
            timeout=120,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    print(f"{file.relative_to(PROJECT_DIR)}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
