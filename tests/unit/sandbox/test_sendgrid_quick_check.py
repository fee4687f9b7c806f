"""What the sandbox sees at once of many recipients, beside what it sees when it looks at each."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.sandbox import sendgrid_validation
from campaign_pipeline.sandbox.sendgrid_quick_check import are_fine
from campaign_pipeline.sandbox.sendgrid_validation import Invalid, check_mail

NOT_STRINGS: list[Any] = [None, 7, True, [], ["a"], {"a": "b"}]
ANYTHING = st.sampled_from([*NOT_STRINGS, "", "a"])
OBJECTS = st.dictionaries(st.sampled_from(["", "a", "To", "Subject", "X-Own"]), st.just("b") | ANYTHING) | ANYTHING
ADDRESSES = st.sampled_from(["a@x.example", "A@x.example", "b@x.example", "a@x", "a@x.example\n", "b" * 320 + "@x.de"])
RECIPIENTS = st.lists(st.fixed_dictionaries({"email": ADDRESSES | ANYTHING}) | ANYTHING, max_size=2) | ANYTHING
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {"to": RECIPIENTS},
        optional=dict.fromkeys(("headers", "substitutions", "custom_args", "cc", "subject", "send_at"), OBJECTS),
    )
    | ANYTHING,
    min_size=1,
    max_size=3,
)


def _never(_people: list[Any]) -> bool:
    return False


def one_by_one(people: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    mail = {"from": {"email": "a@x.example"}, "subject": "s", "content": [{"type": "text/plain", "value": "t"}]}
    with monkeypatch.context() as patched:
        patched.setattr(sendgrid_validation, "are_fine", _never)
        check_mail(mail | {"personalizations": people}, 0)


@given(people=PEOPLE)
def test_what_is_fine_at_once_is_fine_one_by_one(people: list[Any]) -> None:
    if are_fine(people):
        with pytest.MonkeyPatch.context() as monkeypatch:
            one_by_one(people, monkeypatch)


def fine(number: int, **changes: Any) -> dict[str, Any]:
    own = {"headers": {"X-Own": "é"}, "substitutions": {"-a-": "b"}, "custom_args": {"message_id": f"{number}"}}
    return {"to": [{"email": f"user{number}@x.example"}], **own, **changes}


def test_a_thousand_that_are_fine_are_seen_at_once() -> None:
    assert are_fine([fine(number) for number in range(1000)])


@pytest.mark.parametrize(
    "changes",
    [
        {"to": []},
        {"to": [{"email": "USER0@x.example"}]},
        {"to": [{"email": "nobody"}]},
        {"headers": {"Subject": "s"}},
        {"headers": {"X-Own": 7}},
        {"substitutions": {"": "b"}},
        {"substitutions": {"-a-": "é" * 5_000}},
        {"custom_args": {"message_id": "\x01" * 2_000}},
        {"send_at": 72 * 3600 + 1},
    ],
)
def test_one_that_is_wrong_is_never_passed_over(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    people = [fine(0), fine(1, **changes), fine(2)]
    assert not are_fine(people)
    with pytest.raises(Invalid):
        one_by_one(people, monkeypatch)
