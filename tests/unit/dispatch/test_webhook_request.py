"""Signatures of webhooks, by the vector that implementations of Standard Webhooks share."""

import pytest
from pydantic import SecretStr

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.dispatch.channels.webhook_request import signature, signing_key


def test_the_signature_is_that_of_the_specification() -> None:
    key = signing_key(SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    given = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_any_other_text_is_a_key_as_it_is() -> None:
    assert signing_key(SecretStr("sandbox-secret")) == b"sandbox-secret"


def test_a_key_that_was_cut() -> None:
    with pytest.raises(InvalidInput, match="what follows is not base64"):
        signing_key(SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"))
