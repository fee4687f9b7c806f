"""The contact's rows in the lake: removed, or made nobody's where a run's figures need them.

In what belongs to a run, ids become pseudonyms that were drawn for this erasure and run, and are not kept: the ids
themselves follow from the contact's external id, so that whoever knows that could find the rows again.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaign_pipeline.campaigns.first_assignments import held
from campaign_pipeline.core.ids import digest
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.operations.privacy.person import Person


@dataclass(frozen=True)
class Pseudonyms:
    """What stands for the contact in the rows of a run; nobody can work it out without `salt`."""

    salt: str

    def contact(self, run_id: str) -> str:
        return digest("erased contact", self.salt, run_id)

    def message(self, run_id: str) -> str:
        return digest("erased message", self.salt, run_id)

    def address(self, run_id: str) -> str:
        """Is sent to by no channel: the worker leaves out who gave no consent, and this contact gave none."""
        return f"erased-{self.message(run_id)}"


Whose = Callable[[Person], pl.Expr]
Alone = Callable[[Lake, str], AbstractContextManager[None]]
"""Holds off whoever else would write the partition from what is there."""

Rewrite = Callable[[pl.DataFrame, pl.Expr, Pseudonyms, str], pl.DataFrame]
"""(rows of a partition, which of them are the contact's, pseudonyms, run id or partition) -> what is left."""


@dataclass(frozen=True)
class Asset:
    """Rows of a lake asset that are about a contact."""

    name: str
    whose: Whose
    rewrite: Rewrite
    alone: Alone = lambda _lake, _partition: nullcontext()

    def find(self, lake: Lake, person: Person) -> Iterator[tuple[str, pl.DataFrame]]:
        """(partition, the contact's rows) of each partition that has some."""
        for partition in lake.partitions(self.name):
            rows = pl.scan_parquet(lake.path(self.name, partition), glob=False).filter(self.whose(person)).collect()
            if rows.height:
                yield partition, rows

    def erase(self, lake: Lake, partition: str, person: Person, pseudonyms: Pseudonyms) -> None:
        """Put a partition without the contact in its place; its marker stays with it."""
        with self.alone(lake, partition):
            self._rewrite(lake, partition, person, pseudonyms)

    def _rewrite(self, lake: Lake, partition: str, person: Person, pseudonyms: Pseudonyms) -> None:
        path = lake.path(self.name, partition)
        kept = {key: value for key, value in pl.read_parquet_metadata(path).items() if key != "ARROW:schema"}
        rows = pl.read_parquet(path, glob=False)
        rewritten = self.rewrite(rows, self.whose(person).fill_null(value=False), pseudonyms, partition)
        lake.write(rewritten.select(rows.columns).cast(dict(rows.schema)), self.name, partition, metadata=kept)  # pyright: ignore[reportArgumentType]


def _by_contact(person: Person) -> pl.Expr:
    return pl.col("contact_id") == person.contact_id


def _by_message(person: Person) -> pl.Expr:
    return pl.col("message_id").is_in(sorted(person.message_ids))


def _removed(rows: pl.DataFrame, mine: pl.Expr, _pseudonyms: Pseudonyms, _partition: str) -> pl.DataFrame:
    return rows.filter(~mine)


def _replaced(rows: pl.DataFrame, mine: pl.Expr, values: dict[str, Any]) -> pl.DataFrame:
    """`rows` with other values in the contact's rows, where there is one already."""
    changes = [
        pl.when(mine & pl.col(name).is_not_null()).then(_literal(value, rows.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    ]
    return rows.with_columns(changes)


def _literal(value: Any, dtype: pl.DataType) -> pl.Expr:
    return value if isinstance(value, pl.Expr) else pl.lit(value, dtype)


def _member(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, run_id: str) -> pl.DataFrame:
    return _replaced(rows, mine, {"contact_id": pseudonyms.contact(run_id)}).sort("contact_id")


def _audience(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, run_id: str) -> pl.DataFrame:
    names = rows.get_column("contact").struct.fields
    blank = pl.struct(
        (pl.lit(pseudonyms.contact(run_id)) if name == "contact_id" else pl.lit(None)).alias(name) for name in names
    ).cast(rows.schema["contact"])
    values = {"contact_id": pseudonyms.contact(run_id), "address": pseudonyms.address(run_id), "contact": blank}
    return _replaced(rows, mine, values | {"locale": None, "timezone": None}).sort("contact_id")


def _message(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, run_id: str) -> pl.DataFrame:
    values = {
        "message_id": pseudonyms.message(run_id),
        "contact_id": pseudonyms.contact(run_id),
        "address": pseudonyms.address(run_id),
        "fragments": pl.col("fragments").list.eval(pl.lit("")),  # as many as the skeleton has slots
    }
    return _replaced(rows, mine, values)


def _fact(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, run_id: str) -> pl.DataFrame:
    values = {"contact_id": pseudonyms.contact(run_id), "message_id": pseudonyms.message(run_id)}
    unknown = {name: None for name in ("recipient_domain", "converted_at") if name in rows.columns}
    nothing = {name: 0 for name in _EARNED if name in rows.columns}
    return _replaced(rows, mine, values | unknown | nothing).sort("contact_id")


_EARNED = ("conversions", "revenue", "attributed_conversions", "attributed_revenue")
"""Of what the contact did elsewhere, which is removed."""


def _touch(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, run_id: str) -> pl.DataFrame:
    return _fact(rows, mine, pseudonyms, run_id).sort("contact_id", "touched_at", "message_id")


def _before(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, run_id: str) -> pl.DataFrame:
    """What the contact did elsewhere is removed: here it did nothing."""
    return _member(_replaced(rows, mine, {"conversions": 0, "value": 0.0}), mine, pseudonyms, run_id)


def _activity(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, _day: str) -> pl.DataFrame:
    """Of many runs: in each the contact is another, as in the run's own tables."""
    runs = rows.filter(mine).get_column("run_id").unique()
    contact = pl.col("run_id").replace({run_id: pseudonyms.contact(run_id) for run_id in runs})
    return _replaced(rows, mine, {"contact_id": contact}).sort("contact_id", "hour", "run_id", "channel")


def _event(rows: pl.DataFrame, mine: pl.Expr, pseudonyms: Pseudonyms, _partition: str) -> pl.DataFrame:
    """Events of many runs: each keeps its message, under that run's pseudonym. Its link may name the contact."""
    runs = rows.filter(mine).get_column("run_id").unique()
    message = pl.col("run_id").replace({run_id: pseudonyms.message(run_id) for run_id in runs})
    blank: dict[str, Any] = {name: None for name in ("url", "user_agent", "network") if name in rows.columns}
    return _replaced(rows, mine, blank | {"message_id": message, "provider_id": ""})


PERSONAL = (
    Asset("contact_snapshot", _by_contact, _removed),
    Asset("behaviour", _by_contact, _removed),
    Asset("contact_tables", _by_contact, _removed),
    Asset("contact_fingerprints", _by_contact, _removed),
    Asset("segment_membership", _by_contact, _removed),
    Asset("segment_changes", _by_contact, _removed),
    Asset("segment_members", _by_contact, _member),
    Asset("message_facts", _by_contact, _fact),
    Asset("assignments", _by_contact, _member),
    Asset("first_assignments", _by_contact, _removed, held),
    Asset("touches", _by_contact, _touch),
    Asset("conversions", _by_contact, _removed),
    Asset("pre_period", _by_contact, _before),
    Asset("contact_activity", _by_contact, _activity),
    Asset("contact_engagement", _by_contact, _removed),
    Asset("received_events", _by_message, _event),
    Asset("delivery_events", _by_message, _event),
    Asset("messages", _by_contact, _message),
    Asset("audience", _by_contact, _audience),  # last: it tells former addresses
)

NOT_PERSONAL = {
    "ab_results": "figures of variants",
    "audience_summary": "numbers of contacts",
    "campaign_days": "figures of days",
    "campaign_metrics": "figures of variants",
    "cohort_retention": "figures of months",
    "content_performance": "figures of templates",
    "deliverability": "figures of recipient domains, of which those with few recipients are not named",
    "delivery_errors": "figures of error codes",
    "event_days": "numbers of events",
    "experiments": "variants and metrics of units whose ids were forgotten when they were read",
    "funnel": "figures of stages",
    "holdout_lift": "figures of those sent to and those held out",
    "link_performance": "figures of links without what may name a person",
    "replies": "numbers of replies by keyword",
    "response_times": "figures of responses",
    "segment_inputs": "names and sizes of files",
    "skeletons": "what is the same in everybody's message",
    "system_metrics": "times and numbers",
}
"""Assets that hold nothing about a contact, and why."""

DROPPED = {"segment_features": "built anew from contacts and behaviour when it is needed"}
"""What is derived from the above and simply removed."""
