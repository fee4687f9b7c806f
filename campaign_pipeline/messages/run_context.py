"""What a run gives its templates: its campaign, the variant, and each message's own links.

What is looked up for each contact (segments, tables, coupons) is made in context.py. Both ways to render, and previews,
take their values from these two.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
from pydantic import SecretStr

from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.clicks import ClickTargets, click_messages
from campaign_pipeline.messages.links import PATHS, LinkTo, message_urls

CLICK_MESSAGE, CLICK_TARGETS = "_click_message", "_click_targets"
"""Names that links through our redirect read (tracking.py); they are not for authors."""


@dataclass(frozen=True)
class RunContext:
    """What is the same for all messages of a run; it can be sent to another process."""

    run_id: str
    campaign: str
    channel: Channel
    public_url: str
    link_secret: SecretStr

    def constants(self, variant: str) -> dict[str, Any]:
        """By name, what is the same for all messages of a variant."""
        targets = ClickTargets(self.link_secret, self.run_id)
        return {"campaign": self.campaign, "variant": variant, CLICK_TARGETS: targets}

    def columns(self, names: Collection[str], message_ids: Collection[str]) -> dict[str, pl.Series]:
        """By name, a value for each message; of those in `names` only."""
        return {name: make(self, message_ids) for name, make in COLUMNS.items() if name in names}


Column = Callable[[RunContext, Collection[str]], pl.Series]


def _urls(link: LinkTo, run: RunContext, message_ids: Iterable[str]) -> pl.Series:
    return _strings(message_urls(run.public_url, run.link_secret, link, run.run_id, message_ids))


def _click_messages(run: RunContext, message_ids: Iterable[str]) -> pl.Series:
    return _strings(click_messages(run.link_secret, run.run_id, message_ids))


def _strings(values: Iterable[str]) -> pl.Series:
    return pl.Series(list(values), dtype=pl.String)


COLUMNS: Mapping[str, Column] = {
    "unsubscribe_url": partial(_urls, LinkTo.UNSUBSCRIBE),
    "preferences_url": partial(_urls, LinkTo.PREFERENCES),
    "view_url": partial(_urls, LinkTo.VIEW),
    CLICK_MESSAGE: _click_messages,
}
"""name -> how it is made. A name that authors may use stands in environment.CONTEXT too."""


def example_links(public_url: str) -> dict[str, str]:
    """For previews: by name, what stands for each message's own links. They do nothing."""
    base = public_url.rstrip("/")
    return {f"{link}_url": f"{base}/{path}/example" for link, path in PATHS.items()}
