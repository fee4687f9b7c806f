"""Doubts as they are shown to people and machines: what is known of each, and what comes next, in words."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from campaign_pipeline.core.words import Outcome
from campaign_pipeline.core.written import written
from campaign_pipeline.dispatch.doubts import Rules, is_decided
from campaign_pipeline.operations.doubts import RunDoubts

ABSENT = "absent: the provider shows nothing, which proves nothing. It is kept here, and is no reason to send again."

AGES = (("since less than an hour", timedelta(hours=1)), ("since less than a day", timedelta(days=1)))
OLDER = "since longer"


def rows_of(one: RunDoubts, now: datetime) -> list[dict[str, Any]]:
    """A row a doubt, for people (message, contact, claimed, asked, then) and for machines (all of it)."""
    decided = one.doubts.select(is_decided(one.rules, now)).to_series().to_list()
    return [
        {
            "message": row["message_id"],
            "contact": row["contact_id"],
            "run": one.run.run_id,
            "batch": row["batch_no"],
            "attempt": row["attempt"],
            "repeat": row["repeat"],
            "channel": row["channel"],
            "provider": one.providers[row["channel"]].name,
            "state": row["state"],
            "code": row["code"] or "no_outcome",
            "worker": row["worker"],
            "claimed": row["claimed_at"],
            "asked": _asked(row, one.providers[row["channel"]].can_be_asked),
            "times_asked": row["asked"],
            "finding": row["finding"],
            "asked_at": row["asked_at"],
            "look_at": row["look_at"],
            "decided_at": row["decided_at"],
            "then": _then(row, one.rules, now, is_due),
        }
        for row, is_due in zip(one.doubts.iter_rows(named=True), decided, strict=True)
    ]


def by_age(one: RunDoubts, now: datetime) -> dict[str, int]:
    """How long how many have been in doubt, and how many were left unknown; nothing that is none."""
    in_doubt = one.doubts.filter(pl.col("state") == Outcome.IN_DOUBT.value)
    ages = (now - claimed for claimed in in_doubt.get_column("claimed_at"))
    counts = _counted(next((name for name, limit in AGES if age < limit), OLDER) for age in ages)
    unknown = one.doubts.height - in_doubt.height
    named = {f"in doubt {name}": counts[name] for name in (*(name for name, _ in AGES), OLDER) if name in counts}
    return named | ({"left unknown": unknown} if unknown else {})


def summary_of(one: RunDoubts) -> pl.DataFrame:
    """code, claimed_at, state, messages: the doubts as a few rows, newest claims first."""
    return (
        one.doubts.with_columns(
            code=pl.when(pl.col("code") == "").then(pl.lit("no_outcome")).otherwise("code"),
            claimed_at=pl.col("claimed_at").dt.truncate("1m"),
        )
        .group_by("code", "claimed_at", "state")
        .agg(messages=pl.len())
        .sort("claimed_at", "code", "state", descending=[True, False, False])
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _asked(row: dict[str, Any], can_be_asked: bool) -> str:
    if row["asked"]:
        return f"{row['asked']}×, {row['finding']} {written(row['asked_at'])}"
    return "not yet" if can_be_asked else "cannot be asked"


def _then(row: dict[str, Any], rules: Rules, now: datetime, is_due: bool) -> str:
    """When it is decided, and how, unless something settles it before."""
    if row["state"] == Outcome.UNKNOWN:
        return f"left unknown {written(row['decided_at'])}; an event still settles it"
    repeats = rules.repeats(max(now, row["decided_at"])) and not row["repeat"]
    if repeats and rules.held and is_due:
        return "sent once more when the campaign is resumed"
    at = "at the next look" if is_due else written(row["decided_at"])
    return f"{'sent once more' if repeats else 'left unknown'} {at}"
