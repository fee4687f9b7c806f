"""Every figure can be made again: what is derived is deleted, backfilled as assets, and is the same to the byte."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from campaign_pipeline.campaigns.conversion import Conversion
from campaign_pipeline.campaigns.store import apply_campaign, load_campaign
from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.mapping import EventMapping
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.defs.automation import summarise_contacts
from campaign_pipeline.defs.figures import CONTACT_FIGURES, DAY_FIGURES, RUN_FIGURES
from campaign_pipeline.defs.freshness import Request
from campaign_pipeline.defs.launch import bring_up_to_date, execute, follow_behaviour
from campaign_pipeline.events.touched import RunDay, note_events
from campaign_pipeline.operations.attribution import runs_with_new_behaviour
from tests.rehearsal import AS_OF, Rehearsal

SUMMARISE = Request(summarise_contacts.name)
DERIVED = (
    *("delivery_events", "touches", "conversions", "pre_period", "message_facts"),
    *("campaign_metrics", "campaign_days", "audience_summary", "ab_results"),
    *(*DAY_FIGURES, *RUN_FIGURES, *CONTACT_FIGURES),
)


@pytest.fixture(scope="module")
def runs(town: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two runs of one campaign, an hour apart, to nearly the same contacts; some of them buy, which is told later."""
    installation = town.installation
    with writing(installation.engine) as connection:
        campaign = load_campaign(connection, "spring-sale")
        counting = campaign.model_copy(
            update={"conversion": Conversion.model_validate({"model": "linear", "touch": "delivered"})}
        )
        apply_campaign(connection, counting, installation.clock())
    runs = [town.run("spring-sale", AS_OF + timedelta(hours=later)) for later in (0, 1)]
    town.take_in_events()
    assert runs_with_new_behaviour(installation) == []
    buy(town, runs[0], tmp_path_factory.mktemp("orders") / "orders.csv")
    assert runs_with_new_behaviour(installation) == sorted(runs)
    follow_behaviour(installation, town.instance)
    execute(town.instance, SUMMARISE)
    assert runs_with_new_behaviour(installation) == []
    return runs


def buy(town: Rehearsal, run_id: str, file: Path) -> None:
    """Every third contact of the run that could be sent to buys a day later."""
    installation = town.installation
    audience = installation.lake.read("audience", run_id).filter(pl.col("status").is_in(["planned", "held_out"]))
    buyers = audience["contact"].struct.field("external_id").gather_every(3)
    at = AS_OF + timedelta(days=1)
    rows = [f"{buyer},{at.isoformat()},{10 + n / 7:.2f}\n" for n, buyer in enumerate(buyers)]
    file.write_text("who,at,amount\n" + "".join(rows))
    mapping = EventMapping.model_validate(
        {"contact": "who", "event": "purchase", "at": "at", "properties": "rest", "types": {"amount": "number"}}
    )
    rejects = installation.settings.data_dir / "rejects" / "orders-rejects.csv"
    import_events(installation.engine, installation.lake, file, mapping, clock=installation.clock, rejects_path=rejects)


def derived(town: Rehearsal) -> Iterator[tuple[str, bytes]]:
    """(asset/partition, the bytes of its file) of all that follows from events, messages and ledger."""
    lake = town.installation.lake
    for asset in DERIVED:
        for partition in lake.partitions(asset):
            yield f"{asset}/{partition}", lake.path(asset, partition).read_bytes()


def test_two_runs_share_what_contacts_bought(town: Rehearsal, runs: list[str]) -> None:
    lake = town.installation.lake
    rows = pl.concat([lake.read("conversions", run) for run in runs])
    credit = rows.group_by("event_id").agg(pl.col("credit").sum(), runs=(pl.col("credit") > 0).sum())
    assert set(credit["credit"]) == {0.0, 1.0}
    assert credit.filter(runs=2).height > 0
    assert credit.filter(runs=1).height > 0
    metrics = pl.concat([lake.read("campaign_metrics", run) for run in runs])
    planned = rows.filter(status="planned")
    assert metrics["conversions"].sum() == planned.height
    assert metrics["revenue"].sum() == pytest.approx(planned["value"].sum())
    assert metrics["attributed_revenue"].sum() == pytest.approx((planned["credit"] * planned["value"]).sum())


def test_every_table_has_rows_of_the_runs(town: Rehearsal, runs: list[str]) -> None:
    lake = town.installation.lake
    heights = {asset: sum(lake.scan(asset, p).collect().height for p in lake.partitions(asset)) for asset in DERIVED}
    assert [asset for asset, height in heights.items() if height == 0] == ["replies"]  # nobody answers an e-mail
    lift = lake.read("holdout_lift", runs[0]).row(by_predicate=pl.col("metric") == "converted", named=True)
    assert lift["planned_mean"] == pytest.approx(1 / 3, abs=0.1)
    assert lift["lift_low"] < lift["lift"] < lift["lift_high"]
    stages = lake.read("system_metrics", runs[0])
    assert set(stages["stage"]) == {"prepare", "audience", "messages", "dispatch", "delivery", "events"}
    accepted = lake.read("campaign_metrics", runs[0])["accepted"].sum()
    assert stages.filter(pl.col("stage").is_in(["messages", "dispatch"]))["items"].to_list() == [accepted] * 2


def test_what_is_derived_is_made_again_to_the_byte(town: Rehearsal, runs: list[str]) -> None:
    before = dict(derived(town))
    assert {name.split("/")[0] for name in before} == set(DERIVED)
    lake = town.installation.lake
    days = lake.partitions("delivery_events")
    for asset in DERIVED:
        shutil.rmtree(lake.root / asset)
    with writing(town.installation.engine) as connection:
        run_days = [RunDay(run, day) for run in runs for day in days]
        note_events(connection, days, run_days, town.installation.clock())
    bring_up_to_date(town.instance)
    execute(town.instance, SUMMARISE)
    after = dict(derived(town))
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] != before[name]] == []
    with reading(town.installation.engine) as connection:
        assert load_campaign(connection, "spring-sale").conversion is not None
