"""Who may lead the links of an e-mail through itself is said in each request to SendGrid."""

import orjson

from campaign_pipeline.dispatch.channels.base import Batch, Message
from campaign_pipeline.dispatch.channels.sendgrid_request import request_bodies
from campaign_pipeline.messages.batches import SUBSTITUTION_LIMIT
from campaign_pipeline.messages.skeleton import Skeleton
from campaign_pipeline.messages.skeletons import MessageSkeleton


def settings(tracks_clicks: bool) -> list[object]:
    parts = (("subject", Skeleton(("Hi",))), ("html", Skeleton(("<p>", "</p>"))), ("text", Skeleton(("x",))))
    messages = (
        Message(0, "a" * 24, "a@x.example", ["Ann"]),
        Message(1, "b" * 24, "b@x.example", ["B" * SUBSTITUTION_LIMIT]),
    )
    batch = Batch("spring--20260302t090000z", "spring", "a", 0, 1, MessageSkeleton(parts), messages)
    bodies = request_bodies(
        batch, {"email": "n@x.example"}, lambda _, ids: ["https://u.example" for _ in ids], tracks_clicks=tracks_clicks
    )
    return [orjson.loads(body)["tracking_settings"] for _, body in bodies]


def test_clicks_are_sendgrids_as_its_account_is_set_or_nobodys() -> None:
    footer = {"subscription_tracking": {"enable": False}}
    assert settings(True) == [footer, footer]
    assert settings(False) == [footer | {"click_tracking": {"enable": False, "enable_text": False}}] * 2
