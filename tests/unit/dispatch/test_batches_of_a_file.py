"""The batch file as the worker reads it."""

from collections.abc import Callable

import pytest

from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.dispatch.batches import BatchFile

RUN = "spring-sale--20260302t090000z"


def test_a_batch_has_its_own_messages_or_some_of_them(plan: Callable[..., None], lake: Lake) -> None:
    plan(25, 10)
    file = BatchFile(lake, RUN)
    loaded = file.load([1, 2])
    assert sorted(loaded) == [1, 2]
    whole = file.batch(loaded, 2, 3, range(20, 25))
    assert [message.message_no for message in whole.messages] == [20, 21, 22, 23, 24]
    assert (whole.batch_no, whole.attempt, whole.variant, whole.step, whole.whole) == (2, 3, "plain", 0, True)
    message = whole.messages[0]
    assert (message.address, message.fragments, message.parts) == ("user20@example.com", ["Ann20", "<b>20</b>"], 1)
    some = file.batch(loaded, 1, 1, [17, 12])
    assert ([message.message_no for message in some.messages], some.whole) == ([12, 17], False)


def test_messages_of_one_batch_that_differ_are_never_sent_as_one(plan: Callable[..., None], lake: Lake) -> None:
    plan(20, 10, variant=["plain"] * 15 + ["emoji"] * 5, locale=["en"] * 19 + ["de"])
    file = BatchFile(lake, RUN)
    assert sorted(file.load([0])) == [0]
    with pytest.raises(Inconsistent, match=f"{RUN}: the messages of batch 1 differ by variant and locale"):
        file.load([0, 1])
