"""Addresses that are well formed and probably wrong: a mistyped mail provider, a top-level domain that does not exist.

They are taken in as they are. Only a person can know what was meant: the import says where they are.
"""

from functools import cache

import polars as pl

PROVIDERS = (
    "gmail.com", "googlemail.com", "hotmail.com", "hotmail.co.uk", "hotmail.fr", "hotmail.de", "hotmail.it",
    "outlook.com", "outlook.de", "outlook.fr", "live.com", "msn.com", "yahoo.com", "yahoo.co.uk", "yahoo.fr",
    "yahoo.de", "yahoo.co.jp", "ymail.com", "rocketmail.com", "icloud.com", "me.com", "mac.com", "aol.com",
    "mail.com", "email.com", "gmx.com", "gmx.de", "gmx.net", "gmx.at", "gmx.ch", "web.de", "t-online.de", "freenet.de",
    "posteo.de", "protonmail.com", "proton.me", "fastmail.com", "zoho.com", "comcast.net", "verizon.net", "att.net",
    "sbcglobal.net", "orange.fr", "wanadoo.fr", "laposte.net", "libero.it", "yandex.ru", "mail.ru", "btinternet.com",
    "bluewin.ch", "qq.com", "163.com", "naver.com", "uol.com.br",
)  # fmt: skip
"""Where most people have their address."""

_RESERVED = frozenset({"test", "invalid", "example", "localhost"})
"""RFC 2606: for rehearsals."""

_COMMON_SLIPS = frozenset({"co", "cm", "om"})
"""Top-level domains that exist, and that mostly are a `com` with a letter lost."""

_LONG_ENOUGH = 5
"""Letters from which on a name that differs by one is more likely a slip than another name."""


def doubtful_domains(domains: pl.Series) -> pl.DataFrame:
    """(domain, doubt, meant: String) of those distinct normalised domains that are probably wrong.

    `doubt`: `email_domain_typo` (then `meant` is the provider), or `unknown_top_level_domain` (`meant` is null).
    """
    found = [(domain, *doubt) for domain in domains.to_list() if (doubt := _doubt(domain)) is not None]
    return pl.DataFrame(found, {"domain": pl.String, "doubt": pl.String, "meant": pl.String}, orient="row")


def _doubt(domain: str) -> tuple[str, str | None] | None:
    if meant := probably_meant(domain):
        return "email_domain_typo", meant
    last = domain.rpartition(".")[2]
    return (
        None
        if domain in PROVIDERS or last in _RESERVED or last in top_level_domains()
        else ("unknown_top_level_domain", None)
    )


def probably_meant(domain: str) -> str | None:
    """The provider whose name is one slip away: a letter too many, missing, wrong, or changed with its neighbour."""
    if domain in PROVIDERS:  # some are a slip away from another
        return None
    name, _, suffix = domain.partition(".")
    unknown = suffix in _COMMON_SLIPS or suffix.rpartition(".")[2] not in top_level_domains()
    for provider in PROVIDERS:
        right_name, _, right_suffix = provider.partition(".")
        if suffix == right_suffix and len(right_name) >= _LONG_ENOUGH and one_slip(name, right_name):
            return provider
        if name == right_name and unknown and one_slip(suffix, right_suffix):
            return provider
    return None


def one_slip(wrong: str, right: str) -> bool:
    """Whether one insertion, omission, replacement or swap of neighbours makes `wrong` of `right`."""
    if wrong == right or abs(len(wrong) - len(right)) > 1:
        return False
    start = next((place for place, pair in enumerate(zip(wrong, right, strict=False)) if pair[0] != pair[1]), None)
    if start is None:  # one is the beginning of the other
        return True
    rest, right_rest = wrong[start:], right[start:]
    swapped = rest[1::-1] == right_rest[:2] and len(rest) > 1
    return (
        rest[1:] == right_rest  # a letter too many
        or rest == right_rest[1:]  # one is missing
        or rest[1:] == right_rest[1:]  # one is wrong
        or (swapped and rest[2:] == right_rest[2:])
    )


@cache
def top_level_domains() -> frozenset[str]:
    """All of them, in ASCII, from the public suffix list that comes with tldextract; nothing is fetched."""
    from tldextract import TLDExtract

    listed = TLDExtract(suffix_list_urls=(), cache_dir=None).tlds
    return frozenset(suffix.rpartition(".")[2].encode("idna").decode() for suffix in listed)
