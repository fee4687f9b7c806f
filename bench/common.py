"""What the benchmarks share: an installation of their own, a sandbox in another process, and one JSON object."""

import argparse
import json
import multiprocessing
import os
import resource
import ssl
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from campaign_pipeline.core.database import migrate
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.operations.installation import Installation

T = TypeVar("T")
Figures = Mapping[str, float]
"""Name of what was measured -> figure; its unit ends the name."""

START_SECONDS = 30.0


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with --small; the module's docstring is its description."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="sizes for a quick look; the figures mean little")
    return parser


def show(
    bench: str,
    figures: Figures,
    baseline: Figures,
    method: str,
    *,
    target: Figures,
    setup: Mapping[str, object],
    less_is_better: bool = False,
) -> None:
    """Print the one JSON object. `ratio`: how many times better than the baseline, for all that both measured."""
    ratio = {
        name: round(value / figures[name] if less_is_better else figures[name] / value, 2)
        for name, value in baseline.items()
        if name in figures
    }
    report: dict[str, object] = {"bench": bench, "setup": dict(setup) | {"cores": os.cpu_count()}}
    report["figures"] = {name: _rounded(value) for name, value in figures.items()}
    report["baseline"] = {"method": method} | {name: _rounded(value) for name, value in baseline.items()}
    print(json.dumps(report | {"ratio": ratio, "target": dict(target)}))


def _rounded(value: float) -> float:
    return round(value) if value >= 1000 else float(f"{value:.3g}")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and the seconds it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def typical(work: Callable[[], object], repeats: int) -> float:
    """The median of the seconds of `repeats` calls."""
    return median(timed(work)[1] for _ in range(repeats))


@contextmanager
def progress(what: str) -> Generator[Callable[[int, int], None]]:
    """Called with (done, total), shows a bar on standard error, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def installation(**changes: Any) -> Generator[Installation]:
    """A fresh installation in a temporary folder, on SQLite. Nothing of it leaves this machine."""
    for name in [name for name in os.environ if name.startswith("CAMPAIGN_")]:
        del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    with TemporaryDirectory(prefix="campaigns-bench-") as folder:
        settings = Settings(_env_file=None, data_dir=Path(folder), live_sending=False)  # pyright: ignore[reportCallIssue]
        opened = Installation(settings.model_copy(update=changes))
        migrate(opened.engine)
        try:
            yield opened
        finally:
            opened.engine.dispose()


@contextmanager
def sandbox(
    settings: Settings, certificate: Path | None = None, used: dict[str, float] | None = None
) -> Generator[Settings]:
    """A sandbox in another process, in accept-only mode: the settings with its URL.

    It hashes no bodies: rendering what each recipient reads is a check of ours, no work of a provider's. With a
    `certificate` (and its key, in one file) it speaks TLS. In the end, `used` is told what the process used.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    server = context.Process(target=_serve, args=(settings.data_dir, theirs, certificate), daemon=True)
    server.start()
    theirs.close()
    try:
        if not ours.poll(START_SECONDS):
            raise TimeoutError(f"the sandbox did not start within {START_SECONDS:g} s")
        url: str = ours.recv()
        yield settings.model_copy(update={"sendgrid_base_url": url, "twilio_base_url": url})
    finally:
        server.terminate()  # SIGTERM: it closes its files
        if used is not None and ours.poll(START_SECONDS):
            used.update(ours.recv())
        server.join(START_SECONDS)


def usage() -> dict[str, float]:
    """What this process used so far: `peak_memory_mb`, `cpu_s`."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {"peak_memory_mb": own.ru_maxrss / 1024, "cpu_s": own.ru_utime + own.ru_stime}


def _serve(data_dir: Path, ready: Connection, certificate: Path | None) -> None:
    from campaign_pipeline.sandbox.config import SandboxConfig
    from campaign_pipeline.sandbox.server import serve

    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    settings = Settings(_env_file=None, data_dir=data_dir)  # pyright: ignore[reportCallIssue]
    config = SandboxConfig.from_settings(settings, port=0, events_url="", accept_only=True, hash_bodies=False)
    serve(config, ready.send, tls)
    ready.send(usage())


@contextmanager
def trusted_certificate(folder: Path) -> Generator[Path]:
    """A certificate of 127.0.0.1 that signs itself, with its key; this process trusts it meanwhile."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(file)))
    try:
        yield file
    finally:
        for name in names:
            os.environ.pop(name)
        os.environ.update({name: value for name, value in before.items() if value})
