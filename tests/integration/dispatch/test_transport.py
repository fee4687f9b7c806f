"""The transport against servers that misbehave: what never left, what may have arrived, and that nothing goes twice."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

import pytest

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.dispatch.channels import transport as module
from campaign_pipeline.dispatch.channels.connection import NoAnswer, NotConnected, proxy_to
from campaign_pipeline.dispatch.channels.transport import Answer, Transport
from tests.integration.dispatch.peers import OK, Connection, Script, answers, certificate, in_plain, listens, peer

PATIENCE = 0.3
"""Seconds that are waited for a server that never answers."""


@contextmanager
def opened(url: str, timeout: float = 5.0, concurrency: int = 8) -> Iterator[Transport]:
    with Transport(url, timeout=timeout, concurrency=concurrency) as transport:
        yield transport


def post(transport: Transport, body: bytes = b"hello") -> Answer:
    return transport.run(transport.request("POST", "/send", headers={"X-Test": "1"}, body=body))


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_whole_answer_is_given_back_whatever_it_says() -> None:
    with peer(answers(b"HTTP/1.1 418 Teapot\r\nX-Thing: a\r\nContent-Length: 3\r\n\r\nno!")) as server:
        with opened(server.url) as transport:
            status, headers, body = post(transport)
        assert (status, headers["x-thing"], body) == (418, "a", b"no!")
        assert server.requests[0].endswith(b"\r\n\r\nhello")


# What never left.


def test_a_refused_connection_never_left() -> None:
    with socket.socket() as taken:  # bound, not listening: refuses
        taken.bind(("127.0.0.1", 0))
        with opened(f"http://127.0.0.1:{taken.getsockname()[1]}") as transport, pytest.raises(NotConnected):
            post(transport)


def test_a_name_that_is_not_found_never_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with opened("http://localhost:1") as transport, pytest.raises(NotConnected):
        post(transport)


@pytest.mark.parametrize("url", ["api.example.com", "ftp://127.0.0.1", "http://"])
def test_a_url_that_leads_nowhere_never_left(url: str) -> None:
    with opened(url) as transport, pytest.raises(NotConnected):
        post(transport)


def test_a_connection_that_is_not_ready_in_time_never_left() -> None:
    with (
        peer(listens) as server,
        opened(server.url.replace("http:", "https:"), PATIENCE) as transport,
        pytest.raises(NotConnected),
    ):
        post(transport)


def test_a_server_that_does_not_speak_tls_never_got_it() -> None:
    with (
        peer(in_plain) as server,
        opened(server.url.replace("http:", "https:")) as transport,
        pytest.raises(NotConnected),
    ):
        post(transport)


def test_a_certificate_that_is_not_trusted_or_of_another_host_never_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, tls = certificate(tmp_path)
    with peer(answers(), tls) as server, opened(server.url) as transport, pytest.raises(NotConnected):
        post(transport)
    authority, tls = certificate(tmp_path, host="127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with peer(answers(), tls) as server, opened(server.url) as transport, pytest.raises(NotConnected):
        post(transport)
    assert server.requests == []


# What may have arrived.


def closes(connection: Connection) -> None:
    connection.read()


def resets(connection: Connection) -> None:
    connection.read()
    connection.reset()


def says(text: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.read()
        connection.send(text)

    return script


@pytest.mark.parametrize(
    "script",
    [
        closes,
        resets,
        says(b"HTTP/1.1 202 Accep"),
        says(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc\r\n"),
        says(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"),
        says(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        says(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n"),
        says(b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno"),
        says(b"\x00\x01\x02 nothing like HTTP\r\n\r\n"),
    ],
)
def test_without_a_whole_answer_it_may_have_arrived(script: Script) -> None:
    with peer(script) as server:
        with opened(server.url) as transport, pytest.raises(NoAnswer):
            post(transport)
        assert len(server.requests) == server.connections == 1


def test_an_answer_that_does_not_come_or_does_not_end_may_have_arrived() -> None:
    def endless(connection: Connection) -> None:
        connection.read()
        connection.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n")
        pause = threading.Event()
        while True:  # until the other side closes
            connection.send(b".")
            pause.wait(PATIENCE / 10)

    for script in (listens, endless):
        with peer(script) as server:
            with opened(server.url, PATIENCE) as transport, pytest.raises(NoAnswer):
                post(transport)
            assert len(server.requests) == 1


def test_a_kept_connection_that_closes_after_it_read_a_request_leaves_doubt_and_nothing_is_sent_again() -> None:
    def answers_once(connection: Connection) -> None:
        connection.read()
        connection.send(OK)
        connection.read()  # may have been processed: closed without a word

    with peer(answers_once) as server:
        with opened(server.url) as transport:
            assert post(transport).status == 200
            with pytest.raises(NoAnswer):
                post(transport, b"the second")
        assert [request.rpartition(b"\r\n")[2] for request in server.requests] == [b"hello", b"the second"]
        assert server.connections == 1


def test_a_kept_connection_that_was_closed_meanwhile_is_not_used() -> None:
    closed = threading.Event()

    def answers_and_leaves(connection: Connection) -> None:
        connection.read()
        connection.send(OK)
        connection.sock.close()
        closed.set()

    with peer(answers_and_leaves) as server:
        with opened(server.url) as transport:
            for _ in range(3):
                assert post(transport).status == 200
                assert closed.wait(5)
                closed.clear()
                transport.run(asyncio.sleep(0))  # the loop sees it close
        assert len(server.requests) == server.connections == 3


def test_connections_are_kept_until_they_are_idle_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answers()) as server:
        with opened(server.url) as transport:
            for _ in range(10):
                post(transport)
        assert server.connections == 1
        monkeypatch.setattr(module, "KEEP_ALIVE", 0.0)
        with opened(server.url) as transport:
            for _ in range(3):
                post(transport)
        assert server.connections == 4


def test_connections_are_kept_for_less_than_servers_keep_theirs() -> None:
    assert 0 < module.KEEP_ALIVE < 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer(status: int) -> None:
    with peer(answers(b"HTTP/1.1 %d Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n" % status)) as server:
        with opened(server.url) as transport:
            assert post(transport).status == status
        assert len(server.requests) == 1


# Many at once.


def test_threads_share_one_session_and_their_requests_are_under_way_together() -> None:
    together = threading.Barrier(8)

    def answers_when_all_are_there(connection: Connection) -> None:
        while connection.read():
            together.wait(5)
            connection.send(OK)

    with peer(answers_when_all_are_there) as server:
        with opened(server.url, concurrency=8) as transport:
            found: list[Answer] = []
            threads = [threading.Thread(target=lambda: found.append(post(transport))) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert [answer.status for answer in found] == [200] * 8
        assert server.connections == 8


def test_a_large_body_arrives_whole() -> None:
    with peer(answers()) as server:
        body = bytes(range(256)) * 20_000  # 5 MB
        with opened(server.url) as transport:
            assert post(transport, body).status == 200
        assert server.requests[0].endswith(body)


def test_one_tls_context_serves_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setattr(module, "KEEP_ALIVE", 0.0)
    made: list[ssl.SSLContext] = []
    whole = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(whole()) or made[-1])
    with peer(answers(), tls) as server:
        with opened(server.url) as transport:
            assert [post(transport).status for _ in range(3)] == [200] * 3
        assert (server.connections, len(made)) == (3, 1)


def test_closing_ends_what_is_under_way() -> None:
    arrived = threading.Event()

    def silent(connection: Connection) -> None:
        connection.read()
        arrived.set()
        connection.read()

    ended: list[str] = []

    def ask(transport: Transport) -> None:
        try:
            post(transport)
        except (CancelledError, NoAnswer):
            ended.append("without an answer")

    with peer(silent) as server:
        with opened(server.url, timeout=60) as transport:
            thread = threading.Thread(target=ask, args=(transport,))
            thread.start()
            assert arrived.wait(5)
        thread.join()
    assert ended == ["without an answer"]


# Proxies.


def test_a_proxy_of_the_environment_is_used_for_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answers()) as proxy, peer(answers()) as here:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:word@"))
        with opened("http://provider.example") as transport:
            assert post(transport).status == 200
        (request,) = proxy.requests
        assert request.startswith(b"POST http://provider.example/send HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n" in request
        with opened(here.url) as transport:
            assert post(transport).status == 200
        assert (len(proxy.requests), len(here.requests)) == (1, 1)


def test_a_proxy_that_opens_no_tunnel_got_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answers(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with opened("https://provider.example") as transport, pytest.raises(NotConnected):
            post(transport, b"secret")
        assert [request.split()[0] for request in proxy.requests] == [b"CONNECT"]
        assert b"secret" not in b"".join(proxy.requests)


def test_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_to("https://api.example.com") is None
    monkeypatch.setenv("all_proxy", "proxy.example:3128")
    assert proxy_to("https://api.example.com") == "http://proxy.example:3128"
    monkeypatch.setenv("https_proxy", "http://other.example:3128")
    assert proxy_to("https://api.example.com") == "http://other.example:3128"
    assert proxy_to("http://localhost:8990") is None
    monkeypatch.setenv("no_proxy", "example.com")
    assert proxy_to("https://api.example.com:443") is None
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(InvalidInput, match=r"names a socks5 proxy for api\.other\.com"):
        proxy_to("https://api.other.com")
