"""Domains that are probably wrong."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.contacts.findings import Findings
from campaign_pipeline.contacts.typos import PROVIDERS, doubtful_domains, one_slip, probably_meant, top_level_domains


@pytest.mark.parametrize(
    ("domain", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("ggmail.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmx.dee", "gmx.de"),
        ("hotmial.com", "hotmail.com"),
        ("yaho.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("t-onlin.de", "t-online.de"),
        ("gmail.com", None),
        ("mail.com", None),  # a slip away from gmail.com, and a provider
        ("email.com", None),
        ("yahoo.ca", None),
        ("hotmail.es", None),
        ("gmx.li", None),
        ("firm.co", None),
        ("he.com", None),  # too short to say
        ("example.com", None),
    ],
)
def test_a_slip_of_a_well_known_provider_is_seen(domain: str, meant: str | None) -> None:
    assert probably_meant(domain) == meant


def test_top_level_domains_are_those_that_exist() -> None:
    assert {"com", "museum", "at", "xn--p1ai", "xn--jxalpdlp"} - top_level_domains() == {
        "xn--jxalpdlp"
    }  # a test domain
    assert {"invalid", "con", "local"}.isdisjoint(top_level_domains())
    doubts = doubtful_domains(
        pl.Series(["firm.nowhere", "firm.com", "a.test", "b.invalid", "iana.123x", "xn--p1ai.xn--p1ai"])
    )
    assert doubts.rows() == [
        ("firm.nowhere", "unknown_top_level_domain", None),
        ("iana.123x", "unknown_top_level_domain", None),
    ]


def test_findings_count_addresses_and_name_the_first_lines() -> None:
    findings = Findings()
    emails = pl.Series(["a@gmial.com", None, "b@gmail.com", *[f"c{n}@gmial.com" for n in range(9)], "d@firm.nowhere"])
    findings.doubtful_emails(pl.Series(range(2, 2 + len(emails))), emails)
    assert findings.counts == {"email_domain_typo": 10, "unknown_top_level_domain": 1}
    assert findings.examples == {
        "email_domain_typo": [f"line {line}: gmial.com, perhaps gmail.com" for line in (2, 5, 6, 7, 8)],
        "unknown_top_level_domain": ["line 14: firm.nowhere"],
    }


words = st.text("abc", max_size=6)


@given(words, st.integers(0, 6), st.sampled_from("abc"), st.sampled_from(["insert", "omit", "replace", "swap"]))
def test_every_single_slip_is_one(word: str, place: int, letter: str, slip: str) -> None:
    at = min(place, len(word))
    wrong = {
        "insert": word[:at] + letter + word[at:],
        "omit": word[:at] + word[at + 1 :],
        "replace": word[:at] + letter + word[at + 1 :],
        "swap": word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
    }[slip]
    assert one_slip(wrong, word) == (wrong != word)
    assert one_slip(word, wrong) == (wrong != word)


@given(words, words)
def test_one_slip_is_at_most_two_edits_and_never_none(one: str, other: str) -> None:
    def edits(a: str, b: str) -> int:
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            row, above = [i], row
            row = row + [0] * len(b)
            for j, y in enumerate(b, 1):
                row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
        return row[-1]

    assert not one_slip(one, one)
    if edits(one, other) == 1:
        assert one_slip(one, other)
    if one_slip(one, other):
        assert edits(one, other) in (1, 2)  # a swap is two


def test_no_provider_is_a_slip_of_another() -> None:
    assert [provider for provider in PROVIDERS if doubtful_domains(pl.Series([provider])).height] == []
