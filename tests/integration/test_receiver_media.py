"""Images over HTTP: those that were added, and nothing else of the disk."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.web.server import ReceiverServer

HASH = "0123456789abcdef" * 2


@pytest.fixture
def server(settings: Settings) -> Iterator[ReceiverServer]:
    folder = settings.media_folder
    folder.mkdir(parents=True)
    (folder / f"{HASH}.png").write_bytes(b"picture")
    (folder / f"{HASH}.html").write_bytes(b"page")
    (folder / "other.png").write_bytes(b"other")
    (folder.parent / "campaigns.db").write_bytes(b"secret")
    with ReceiverServer(settings) as running:
        yield running


def ask(server: ReceiverServer, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(method, path)  # as it is: urllib would tidy the path up
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def test_an_image_is_served_for_ever(server: ReceiverServer) -> None:
    status, body, headers = ask(server, f"/m/{HASH}.png")
    assert (status, body) == (200, b"picture")
    assert headers["content-type"] == "image/png"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["x-content-type-options"] == "nosniff"
    assert ask(server, f"/m/{HASH}.png", "HEAD")[:2] == (200, b"")
    assert ask(server, f"/m/{HASH}.png", "POST")[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        f"/m/{HASH}.html",
        f"/m/{HASH}.gif",
        f"/m/{HASH.upper()}.png",
        "/m/other.png",
        "/m/../campaigns.db",
        "/m/..%2Fcampaigns.db",
        "/m/%2e%2e/campaigns.db",
        f"/m/..%2Fmedia%2F{HASH}.png",
        f"/m/{HASH}.png%0a",
        f"/m/{HASH}.png%00",
        "/m/",
    ],
)
def test_nothing_else_is_served(server: ReceiverServer, path: str) -> None:
    status, body, _ = ask(server, path)
    assert status == 404
    assert not {b"picture", b"page", b"other", b"secret"} & {body}


def test_images_are_one_label_of_the_figures(server: ReceiverServer) -> None:
    ask(server, f"/m/{HASH}.png")
    ask(server, "/m/other.png")
    text = ask(server, "/metrics")[1].decode()
    assert 'route="/m",status="200"} 1' in text
    assert HASH not in text


def test_the_folder_can_be_elsewhere(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / f"{HASH}.gif").write_bytes(b"dot")
    with ReceiverServer(settings.model_copy(update={"media_dir": str(tmp_path / "pictures")})) as running:
        status, body, headers = ask(running, f"/m/{HASH}.gif")
    assert (status, body, headers["content-type"]) == (200, b"dot", "image/gif")
