"""Servers on raw sockets, which do what no well-behaved provider does; and certificates to speak TLS with."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Script = Callable[["Connection"], None]


class Connection:
    """One connection that a peer has accepted."""

    def __init__(self, sock: socket.socket, peer: "Peer") -> None:
        self.sock, self._peer, self._read = sock, peer, b""

    def read(self) -> bytes:
        """The next whole request, head and body; empty when the other side has closed."""
        while b"\r\n\r\n" not in self._read:
            if not self._more():
                return b""
        head, _, rest = self._read.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0]) if lengths else 0
        while len(rest) < length and self._more():
            rest = self._read.partition(b"\r\n\r\n")[2]
        self._read = rest[length:]
        request = head + b"\r\n\r\n" + rest[:length]
        self._peer.requests.append(request)
        return request

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self._read += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@dataclass
class Peer:
    """A server that hands every connection to `script`, in a thread of its own, and closes it afterwards."""

    script: Script
    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def peer(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    server = socket.create_server(("127.0.0.1", 0))
    found = Peer(script, f"{'https' if tls else 'http'}://127.0.0.1:{server.getsockname()[1]}")
    open_ones: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        with suppress(OSError):  # the other side gave up
            sock = tls.wrap_socket(sock, server_side=True) if tls else sock
            open_ones.append(sock)
            with sock:
                found.script(Connection(sock, found))

    def accept() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            found.connections += 1
            open_ones.append(sock)
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield found
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        accepting.join()
        for sock in open_ones:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for sock in open_ones:
            sock.close()


def answers(answer: bytes = OK) -> Script:
    """A script that answers every request of a connection."""

    def script(connection: Connection) -> None:
        while connection.read():
            connection.send(answer)

    return script


def listens(connection: Connection) -> None:
    """A script that answers nothing, not even the greeting of TLS."""
    while connection.read():
        pass


def in_plain(connection: Connection) -> None:
    """A script that does not wait for the greeting of TLS, and does not speak it."""
    connection.send(b"220 who is there?\r\n")


def certificate(folder: Path, host: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """(file of an authority, TLS of a server that it vouches for under the address `host`)."""
    now = datetime.now(UTC)

    def signed(
        name: str, key: ec.EllipticCurvePrivateKey, by: str, signer: ec.EllipticCurvePrivateKey, *, authority: bool
    ) -> x509.Certificate:
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, by))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        )
        return builder.sign(signer, hashes.SHA256())

    def pem(name: str, *parts: bytes) -> Path:
        file = folder / name
        file.write_bytes(b"".join(parts))
        return file

    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = signed("authority", root, "authority", root, authority=True)
    server = signed("server", key, "authority", root, authority=False)
    encoding, nothing = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, nothing)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem("server.pem", server.public_bytes(encoding), private))
    return pem("authority.pem", authority.public_bytes(encoding)), tls
