"""Dominic Sayers' isemail tests: 164 addresses with verdicts, and the policy of docs/imports.md on each."""

import json
from pathlib import Path

import pytest

from campaign_pipeline.contacts.addresses import normalise_email

GOOD = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN"}
"""Valid, or valid with a domain that was not in the DNS: nothing is looked up here."""


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> list[dict[str, str]]:
    return json.loads((shared_data / "contacts" / "isemail.json").read_text("utf-8"))


def test_every_address_is_judged_by_the_policy(cases: list[dict[str, str]]) -> None:
    """Taken: what is valid in SMTP as it stands, white space around it aside, with a dot in its domain."""
    assert len(cases) == 164
    verdicts = {case["address"]: case["category"] for case in cases}
    taken = 0
    for case in cases:
        bare = case["address"].strip()
        good = verdicts.get(bare) in GOOD
        dotted = "." in bare.rpartition("@")[2]
        found = normalise_email(case["address"])
        assert (found is not None) == (good and dotted), case
        if found is not None:
            assert found == bare.lower()
            taken += 1
    assert sum(case["category"] in GOOD for case in cases) == 22  # all are taken but the one without a dot
    assert taken == 45  # 21, and 24 of them again with white space around


def test_what_is_not_taken_although_a_standard_allows_it(cases: list[dict[str, str]]) -> None:
    by_diagnosis = {case["diagnosis"]: case["address"] for case in cases}
    for diagnosis in (
        "ISEMAIL_RFC5321_QUOTEDSTRING",
        "ISEMAIL_RFC5321_ADDRESSLITERAL",
        "ISEMAIL_CFWS_COMMENT",
        "ISEMAIL_RFC5321_TLD",
        "ISEMAIL_RFC5321_TLDNUMERIC",
        "ISEMAIL_DEPREC_LOCALPART",
    ):
        assert normalise_email(by_diagnosis[diagnosis]) is None, diagnosis
