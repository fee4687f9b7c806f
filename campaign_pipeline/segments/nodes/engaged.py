"""`engaged: {what: opened, campaign: spring, within: 30d}`: what became of the messages that the contact was sent."""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from campaign_pipeline.segments.nodes.leaf import Leaf
from campaign_pipeline.segments.nodes.names import Names, any_of
from campaign_pipeline.segments.nodes.reachable import Channels
from campaign_pipeline.segments.nodes.window import Window, inside
from campaign_pipeline.segments.scope import Scope
from campaign_pipeline.segments.thresholds import Count


class What(StrEnum):
    """What happened to a message."""

    SENT = "sent"  # the provider took it
    DELIVERED = "delivered"
    READ = "read"
    OPENED = "opened"  # by a human, as far as can be told; so is clicked
    CLICKED = "clicked"
    REPLIED = "replied"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    BOUNCED = "bounced"
    FAILED = "failed"
    MACHINE_OPENED = "machine_opened"
    MACHINE_CLICKED = "machine_clicked"

    @property
    def column(self) -> str:
        """The column of message_facts with the time at which it happened first."""
        return "accepted_at" if self is What.SENT else f"{self}_at"


class Engaged(Window, Leaf):
    """The messages of the campaigns, variants and channels to which `what` happened first in the window: how many.

    Without `count` at least one is needed. A contact without such a message has count 0, also if there is no message
    at all yet. A message counts once, however often it was opened.
    """

    what: What
    campaign: Names | None = None
    variant: Names | None = None
    channel: Channels | None = None
    count: Count = Count(gte=1)

    def says(self) -> str:
        words = [self.what.replace("_", " ")]
        words += [f"{self.count.says()} messages"] if self.count != Count(gte=1) else ["a message"]
        words += [f"of campaign {any_of(self.campaign)}"] if self.campaign else []
        words += [f"of variant {any_of(self.variant)}"] if self.variant else []
        words += [f"by {any_of(self.channel)}"] if self.channel else []
        return " ".join([*words, *self.window_says()])

    def condition(self, scope: Scope) -> sa.ColumnElement[bool]:
        messages = scope.messages.c
        who = sa.select(messages.contact_id).where(*self._counted(scope))
        if self.count == Count(gte=1):
            return scope.contact_id.in_(who)
        holds = self.count.sql(sa.func.count())
        who = who.group_by(messages.contact_id)
        if self.count.holds_for_zero:
            # Whoever has no message is not in the subquery, but belongs to the result: ask for the others.
            return sa.not_(sa.func.coalesce(scope.contact_id.in_(who.having(sa.not_(holds))), sa.false()))
        return scope.contact_id.in_(who.having(holds))

    def evidence(self, scope: Scope) -> dict[str, sa.ColumnElement[Any]]:
        """Of the messages that count: `messages`, and the `first` and `last` time at which it happened."""
        time = scope.messages.c[self.what.column]
        values = {"messages": sa.func.count(), "first": sa.func.min(time), "last": sa.func.max(time)}
        own = (scope.messages.c.contact_id == scope.contact_id, *self._counted(scope))
        return {
            label: sa.select(value).where(*own).correlate(scope.contacts).scalar_subquery()
            for label, value in values.items()
        }

    def _counted(self, scope: Scope) -> list[sa.ColumnElement[bool]]:
        if self.campaign or self.variant:
            scope.catalogue.check_engagement(self.campaign or (), self.variant or ())
        messages = scope.messages.c
        return [
            *([messages.campaign.in_(self.campaign)] if self.campaign else []),
            *([messages.variant.in_(self.variant)] if self.variant else []),
            *([messages.channel.in_([one.value for one in self.channel])] if self.channel else []),
            *inside(messages[self.what.column], self.window(scope)),
        ]
