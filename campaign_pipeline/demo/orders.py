"""What the demo's contacts buy after a campaign: the truth that its conversions and its holdout should find.

Whoever could be sent to buys with BASE_RATE, sent to or not; who clicked, with CLICKED_RATE on top, soon after.
"""

import csv
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.mapping import EventMapping
from campaign_pipeline.core.definitions import read_definition
from campaign_pipeline.demo.people import DEMO_DATE, PURCHASE_COLUMNS, PURCHASE_MAPPING
from campaign_pipeline.operations.installation import Installation

BASE_RATE, CLICKED_RATE = 0.02, 0.3
WITHIN_HOURS = 120
LEAST, MOST = 1_500, 12_000
"""Cents of an order."""


def buy_later(installation: Installation, folder: Path, run_id: str) -> int:
    """Import the orders that follow the run, by its facts; how many are new. The same again adds nothing."""
    lake = installation.lake
    facts = lake.scan("message_facts", run_id).select("contact_id", "status", "clicked_at").collect()
    known = lake.scan("audience", run_id).select("contact_id", "contact").collect()
    customers = dict(zip(known["contact_id"], known["contact"].struct.field("external_id"), strict=True))
    rows: list[tuple[str, ...]] = []
    for contact, status, clicked_at in facts.iter_rows():
        chance = Random(f"orders:{contact}")  # noqa: S311  (reproducible on purpose)
        if status in ("planned", "held_out"):
            if chance.random() < BASE_RATE:
                rows.append(_order(chance, customers[contact], DEMO_DATE, WITHIN_HOURS))
            if clicked_at is not None and chance.random() < CLICKED_RATE:
                rows.append(_order(chance, customers[contact], clicked_at, 3))
    orders, mapping = folder / f"orders-{run_id}.csv", folder / "orders_mapping.yaml"
    with orders.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([PURCHASE_COLUMNS, *rows])
    mapping.write_text(PURCHASE_MAPPING)
    rejects = folder / "orders-rejects.csv"
    made = read_definition(mapping, EventMapping)
    done = import_events(installation.engine, lake, orders, made, clock=installation.clock, rejects_path=rejects)
    return done.new


def _order(chance: Random, customer: str, since: datetime, hours: int) -> tuple[str, ...]:
    """A row of PURCHASE_COLUMNS, within `hours` after `since`."""
    at = since + timedelta(seconds=1 + int(chance.random() * hours * 3600))
    cents = LEAST + int(chance.random() * (MOST - LEAST))
    money = f"{cents // 100}.{cents % 100:02d}"
    return (f"L{customer}-{at:%m%d%H%M%S}", customer, f"{at:%Y-%m-%dT%H:%M:%SZ}", money, "spring")
