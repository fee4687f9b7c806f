"""The certificates by which Amazon SNS signs: kept in one file by command, because none is fetched when a post comes.

Whoever writes a post would choose the key, if the `SigningCertURL` in it were followed.
"""

import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate, load_pem_x509_certificates

from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.events.inbox_files import write_durably

KEEP = "Download it from the SigningCertURL of a post, then: campaigns events certificate FILE"

_URL = re.compile(r"https://sns\.[a-z0-9-]{3,40}\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9a-f]{8,64}\.pem")


def is_certificate_url(url: str) -> bool:
    """Whether SNS itself keeps a certificate there. Source: Amazon SNS, Verifying the signatures of SNS messages."""
    return bool(_URL.fullmatch(url))


def valid_certificates(file: Path, now: datetime) -> list[Certificate]:
    """Those of `file` that are valid at `now`; Refused where there is none, or no such file."""
    try:
        held = _read(file, file.stat().st_mtime_ns)
    except FileNotFoundError:
        raise Refused("no certificate of Amazon SNS is known", KEEP) from None
    except (OSError, ValueError):
        raise Refused(f"{file} is no PEM file that can be read", KEEP) from None
    valid = [each for each in held if _is_valid(each, now)]
    if not valid:
        raise Refused("the certificate of Amazon SNS is not valid at this time", KEEP)
    return valid


def keys_of(certificates: list[Certificate]) -> list[rsa.RSAPublicKey]:
    keys = (each.public_key() for each in certificates)
    return [key for key in keys if isinstance(key, rsa.RSAPublicKey)]


def keep(file: Path, pem: bytes, now: datetime) -> list[Certificate]:
    """Add the certificates in `pem` to `file`, and drop those of it whose time is over; the added ones.

    InvalidInput, and nothing is changed, if one of them cannot sign for SNS now.
    """
    try:
        added = load_pem_x509_certificates(pem)
    except ValueError:
        raise InvalidInput("the file holds no certificate in PEM", "Give the file as Amazon offers it.") from None
    if len(keys_of(added)) < len(added):
        raise InvalidInput("the certificate has no RSA key", "SNS signs with RSA: is it the right file?")
    for each in added:
        if not _is_valid(each, now):
            until = f"{each.not_valid_before_utc:%Y-%m-%d} to {each.not_valid_after_utc:%Y-%m-%d}"
            raise InvalidInput(f"the certificate is valid from {until}, and not now", "Check this machine's clock.")
    known = _read(file, file.stat().st_mtime_ns) if file.is_file() else []
    left = dict.fromkeys([*(each for each in known if _is_valid(each, now)), *added])  # each once
    file.parent.mkdir(parents=True, exist_ok=True)
    write_durably(file, (each.public_bytes(Encoding.PEM) for each in left))
    return added


def _is_valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


@lru_cache(maxsize=4)
def _read(file: Path, _changed: int) -> list[Certificate]:
    return load_pem_x509_certificates(file.read_bytes())
