"""The main job, through Dagster, the real SDKs and real HTTP: from contacts to an A/B result."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from campaign_pipeline.analytics.exports import Format
from campaign_pipeline.campaigns.life_cycle import run_state
from campaign_pipeline.contacts.suppression import active_suppressions
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import NotFound
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.words import AudienceStatus, Channel, RunState
from campaign_pipeline.defs.automation import publish_recent, run_campaign
from campaign_pipeline.defs.repository import defs
from campaign_pipeline.operations.experiments import plan_from
from campaign_pipeline.operations.exports import export
from campaign_pipeline.operations.reports import publish_recent as publish_recent_runs
from campaign_pipeline.operations.results import compare, run_account
from tests.rehearsal import AS_OF, Rehearsal

CAMPAIGNS = ("spring-sale", "win-back", "vip-preview")


@pytest.fixture(scope="module")
def runs(town: Rehearsal) -> dict[str, str]:
    """All three campaigns, run to their end, with every event taken in."""
    run_ids = {campaign: town.run(campaign) for campaign in CAMPAIGNS}
    town.take_in_events()
    return run_ids


def test_everybody_planned_was_sent_to_once(town: Rehearsal, runs: dict[str, str]) -> None:
    for run_id in runs.values():
        messages = town.installation.lake.read("messages", run_id)
        sends = town.sends(run_id)
        assert messages.height > 0
        assert sorted(sends["message_id"]) == sorted(messages["message_id"])
        assert town.account(run_id).messages == {"accepted": messages.height}


def test_a_run_is_completed_when_nothing_is_left(town: Rehearsal, runs: dict[str, str]) -> None:
    with reading(town.installation.engine) as connection:
        assert {run_state(connection, run_id) for run_id in runs.values()} == {RunState.COMPLETED}


def test_nobody_held_out_or_left_out_was_sent_to(town: Rehearsal, runs: dict[str, str]) -> None:
    for run_id in runs.values():
        audience = town.installation.lake.read("audience", run_id)
        messages = town.installation.lake.read("messages", run_id)
        others = audience.filter(pl.col("status") != AudienceStatus.PLANNED)
        assert others.height > 0
        assert not set(others["contact_id"]) & set(messages["contact_id"])


def test_the_account_of_each_run_adds_up(town: Rehearsal, runs: dict[str, str]) -> None:
    for run_id in runs.values():
        account = run_account(town.installation, run_id)
        members = town.installation.lake.read("segment_members", run_id).height
        assert account["contacts"] == members
        assert account["planned"] + account["held_out"] + account["held_out_globally"] + account["left_out"] == members
        assert account["accepted"] == account["planned"]


def test_assignments_say_who_was_assigned_and_who_got_it(town: Rehearsal, runs: dict[str, str]) -> None:
    lake = town.installation.lake
    for run_id in runs.values():
        assignments, facts = lake.read("assignments", run_id), lake.read("message_facts", run_id)
        in_it = facts.filter(pl.col("status").is_in(["planned", "held_out"]))
        assert assignments.select("contact_id", "variant", "status").equals(
            in_it.select("contact_id", "variant", "status")
        )
        assert set(assignments.drop_nulls("exposed_at")["contact_id"]) == set(facts.filter("accepted")["contact_id"])
    with duckdb.connect(str(town.installation.settings.warehouse_path), read_only=True) as connection:
        shown = connection.execute("SELECT DISTINCT experiment FROM assignments ORDER BY 1").fetchall()
    assert shown == [(campaign,) for campaign in sorted(CAMPAIGNS)]


def test_facts_say_what_the_ground_truth_says(town: Rehearsal, runs: dict[str, str]) -> None:
    """A message is delivered in our facts if and only if the sandbox says so in the events it posted."""
    lake = town.installation.lake
    events = pl.concat([lake.read("delivery_events", day) for day in lake.partitions("delivery_events")])
    assert events["event_id"].is_unique().all()
    for run_id in runs.values():
        facts = lake.read("message_facts", run_id)
        delivered = events.filter(pl.col("run_id") == run_id, pl.col("type").is_in(["delivered", "read"]))
        assert set(facts.filter(pl.col("delivered_at").is_not_null())["message_id"]) == set(delivered["message_id"])
        assert 0.9 < delivered["message_id"].n_unique() / facts["message_id"].drop_nulls().len() <= 1


def test_opt_outs_became_suppressions(town: Rehearsal, runs: dict[str, str]) -> None:
    lake = town.installation.lake
    facts = lake.read("message_facts", runs["spring-sale"])
    gone = facts.filter(pl.col("unsubscribed_at").is_not_null() | (pl.col("bounce_class") == "hard"))
    assert gone.height > 0
    messages = lake.read("messages", runs["spring-sale"]).join(gone, on="message_id", how="semi")
    with reading(town.installation.engine) as connection:
        suppressed = active_suppressions(connection, Channel.EMAIL)
    assert set(messages["address"]) <= set(suppressed["address"])


def test_the_next_audience_leaves_the_opted_out_out(town: Rehearsal, runs: dict[str, str]) -> None:
    later = town.run("spring-sale", town.installation.clock().replace(microsecond=0))
    with reading(town.installation.engine) as connection:
        suppressed = set(active_suppressions(connection, Channel.EMAIL)["address"])
    audience = town.installation.lake.read("audience", later)
    assert (audience["status"] == AudienceStatus.SUPPRESSED).sum() > 0
    assert not suppressed & set(town.installation.lake.read("messages", later)["address"])


def test_results_compare_the_variants_of_the_test(town: Rehearsal, runs: dict[str, str]) -> None:
    days = [day for day in town.installation.lake.partitions("ab_results") if day.startswith(runs["spring-sale"])]
    assert len(days) >= 2  # events of several days
    newest = town.installation.lake.read("ab_results", days[-1])
    facts = town.installation.lake.read("message_facts", runs["spring-sale"])
    for variant in ("plain", "emoji"):
        row = newest.row(by_predicate=(pl.col("metric") == "clicked") & (pl.col("variant") == variant), named=True)
        planned = facts.filter(pl.col("variant") == variant)
        assert row["n"] == planned.height
        assert row["successes"] == planned["clicked_at"].is_not_null().sum()


def test_a_day_that_is_compared_again_gives_the_same_bytes(
    town: Rehearsal, runs: dict[str, str], tmp_path: Path
) -> None:
    lake, run_id = town.installation.lake, runs["spring-sale"]
    for partition in [day for day in lake.partitions("ab_results") if day.startswith(run_id)]:
        again = Lake(tmp_path).write(
            compare(town.installation, run_id, date.fromisoformat(partition.partition("/")[2])), "again", partition
        )
        assert again.read_bytes() == lake.path("ab_results", partition).read_bytes()


def test_the_next_test_is_planned_from_what_a_run_has_shown(town: Rehearsal, runs: dict[str, str]) -> None:
    planned, units = plan_from(town.installation, "spring-sale", None)
    newest = town.installation.lake.read("ab_results", _newest_day(town, runs["spring-sale"]))
    control = newest.filter(pl.col("is_control") & pl.col("is_goal")).row(0, named=True)
    assert (planned.control, planned.mean, planned.variance) == (control["variant"], control["mean"], None)
    assert units == newest.filter("is_goal")["units"].sum()
    assert set(planned.shares) == set(newest["variant"])


def _newest_day(town: Rehearsal, run_id: str) -> str:
    return max(day for day in town.installation.lake.partitions("ab_results") if day.startswith(run_id))


def test_the_warehouse_opens_and_holds_the_metrics(town: Rehearsal, runs: dict[str, str]) -> None:
    with duckdb.connect(str(town.installation.settings.warehouse_path), read_only=True) as connection:
        rows = connection.sql("SELECT run_id, sum(accepted) FROM campaign_metrics GROUP BY run_id").fetchall()
    accepted = dict(rows)
    for run_id in runs.values():
        assert accepted[run_id] == town.account(run_id).messages["accepted"]


def test_the_report_of_the_last_days_has_every_run_with_its_account(town: Rehearsal, runs: dict[str, str]) -> None:
    result = defs.resolve_job_def(publish_recent.name).execute_in_process(instance=town.instance)
    (made,) = result.asset_materializations_for_node("recent_report")
    assert made.metadata["runs"].value == sorted(runs.values())  # all of one moment
    assert made.metadata["in_the_index_alone"].value == 0
    page = (town.installation.reports_dir / "recent.html").read_text(encoding="utf-8")
    assert made.metadata["bytes"].value == len(page.encode()) < 500_000
    for run_id in runs.values():
        assert f"{run_account(town.installation, run_id)['contacts']:,} contacts in the segment" in page
        own = (town.installation.reports_dir / f"{run_id}.html").read_text(encoding="utf-8")
        assert own.count("<article") == 1
    later = publish_recent_runs(town.installation, AS_OF + timedelta(seconds=1))
    assert later.runs == ()
    assert "No campaign has run since 2026-03-02 09:00 UTC." in later.path.read_text(encoding="utf-8")


def test_more_runs_than_a_report_shows_are_named_in_its_index(
    town: Rehearsal, runs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign_pipeline.operations.reports.MOST_RUNS", 1)
    published = publish_recent_runs(town.installation, AS_OF)
    assert (published.runs, published.others) == (("spring-sale--20260302t090000z",), tuple(sorted(runs.values())[1:]))
    page = published.path.read_text(encoding="utf-8")
    assert page.count("<article") == 2
    assert all(run_id in page for run_id in runs.values())


def test_a_campaign_is_exported_with_all_its_runs(town: Rehearsal, runs: dict[str, str], tmp_path: Path) -> None:
    metrics = town.installation.lake.read("campaign_metrics", runs["win-back"])
    for target in ("win-back", runs["win-back"]):
        assert export(town.installation, "campaign_metrics", tmp_path / "m.parquet", Format.PARQUET, target) == 2
        assert pl.read_parquet(tmp_path / "m.parquet").equals(metrics)
    every = export(town.installation, "campaign_metrics", tmp_path / "m.csv", Format.CSV, None)
    assert every == sum(town.installation.lake.read("campaign_metrics", run).height for run in runs.values())
    with pytest.raises(NotFound, match="'nobody' is neither a run nor a campaign"):
        export(town.installation, "campaign_metrics", tmp_path / "m.csv", Format.CSV, "nobody")


def test_materialising_everything_again_sends_nothing(town: Rehearsal, runs: dict[str, str]) -> None:
    before = town.sandbox.sends().height
    audience = town.installation.lake.path("audience", runs["spring-sale"]).read_bytes()
    for campaign in CAMPAIGNS:
        assert town.run(campaign) == runs[campaign]
    assert town.sandbox.sends().height == before
    assert town.installation.lake.path("audience", runs["spring-sale"]).read_bytes() == audience


def test_taking_in_no_new_events_changes_no_figure(town: Rehearsal, runs: dict[str, str]) -> None:
    town.take_in_events()
    before = town.installation.lake.read("campaign_metrics", runs["win-back"])
    assert town.take_in_events() == 0
    assert town.installation.lake.read("campaign_metrics", runs["win-back"]).equals(before)


def test_no_personal_data_is_in_what_dagster_keeps(town: Rehearsal, runs: dict[str, str]) -> None:
    """Every event that Dagster stored for these runs, searched for every address and last name of the audience."""
    contacts = town.installation.lake.read("audience", runs["spring-sale"])["contact"].struct.unnest()
    personal = {
        value
        for column in ("email", "phone", "last_name")
        for value in contacts[column].drop_nulls()
        if len(value) > 5  # shorter names occur inside words
    }
    assert len(personal) > 500
    kept = "\n".join(
        str(entry)
        for record in town.instance.get_run_records()
        for entry in town.instance.all_logs(record.dagster_run.run_id)
    )
    assert run_campaign.name in kept
    assert [value for value in personal if value in kept] == []
