"""Segments through Dagster: new ones become partitions, one run evaluates them all, and touched contacts start one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import writing
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.settings import load_settings
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.defs import segment_automation
from campaign_pipeline.defs.automation import Request, evaluate_all_segments, follow_touched_contacts
from campaign_pipeline.defs.launch import QUIET, execute
from campaign_pipeline.defs.repository import defs
from campaign_pipeline.defs.segment_automation import all_segments
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.segments.definition import Segment
from campaign_pipeline.segments.store import apply_segment
from tests.databases import initialised

EVENTS = {"event_id": pl.String, "contact_id": pl.String, "event": pl.String, "occurred_at": pl.Datetime("us", "UTC")}
EVENTS |= {"properties": pl.String}


@dataclass(frozen=True)
class Village:
    installation: Installation
    instance: dg.DagsterInstance

    def person(self, name: str) -> None:
        now = self.installation.clock()
        row = {"contact_id": name, "external_id": name, "attributes": {}, "created_at": now, "updated_at": now}
        with writing(self.installation.engine) as connection:
            connection.execute(sa.insert(contacts).values(row))

    def visited(self, *who: str) -> None:
        at = self.installation.clock() - timedelta(hours=1)
        rows = [(each, each, "visit", at, json.dumps({})) for each in who]
        self.installation.lake.write(pl.DataFrame(rows, EVENTS, orient="row"), "behaviour", "-".join(who))

    def segment(self, name: str, where: dict[str, Any]) -> None:
        with writing(self.installation.engine) as connection:
            segment = Segment.model_validate({"segment": name, "where": where})
            apply_segment(connection, segment, self.installation.clock())

    def tick(self, sensor: Any, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
        with dg.build_sensor_context(instance=self.instance, cursor=cursor) as context:
            return sensor(context)

    def run(self, request: dg.RunRequest, job: str) -> None:
        """As the daemon would, but in this process."""
        config = {**dict(request.run_config or {}), **QUIET}
        defs.resolve_job_def(job).execute_in_process(config, self.instance, tags=dict(request.tags))

    def reported(self) -> list[dict[str, Any]]:
        """What was reported of each segment, oldest first."""
        records = self.instance.fetch_materializations(dg.AssetKey("segment_membership"), limit=100).records[::-1]
        found = [record.asset_materialization for record in records]
        return [
            {"partition": each.partition, **{key: value.value for key, value in each.metadata.items()}}
            for each in found
            if each
        ]


@pytest.fixture
def village(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Village]:
    """Contacts a, b and c, of whom a and b visited; segments `everybody` and `visitors`, with their partitions."""
    monkeypatch.setenv("CAMPAIGN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    installation = initialised(load_settings())
    with dg.instance_for_test() as instance:
        village = Village(installation, instance)
        for name in "abc":
            village.person(name)
        village.visited("a", "b")
        village.segment("everybody", {"trait": {"field": "created_at", "is_set": True}})
        village.segment("visitors", {"did": {"event": "visit"}})
        result = village.tick(segment_automation.applied_segments)
        assert isinstance(result, dg.SensorResult)
        for request in result.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys or []))
        yield village
    installation.engine.dispose()


def due(village: Village) -> dg.RunRequest:
    """What the hourly schedule asks for."""
    with dg.build_schedule_context(instance=village.instance) as context:
        request = segment_automation.evaluate_segments_hourly(context)
    assert isinstance(request, dg.RunRequest)
    return request


def test_applied_segments_have_partitions(village: Village) -> None:
    assert village.instance.get_dynamic_partitions("segment") == ["everybody", "visitors"]
    assert isinstance(village.tick(segment_automation.applied_segments), dg.SkipReason)


def test_one_run_evaluates_every_segment(village: Village) -> None:
    village.run(due(village), evaluate_all_segments.name)
    village.visited("c")
    village.run(due(village), evaluate_all_segments.name)
    figures = ("partition", "cause", "members", "entered", "left", "dagster/row_count")
    assert [tuple(each[name] for name in figures) for each in village.reported()] == [
        ("everybody", "first", 3, 3, 0, 3),
        ("visitors", "first", 2, 2, 0, 2),
        ("everybody", "scheduled", 3, 0, 0, 3),
        ("visitors", "scheduled", 3, 1, 0, 3),
    ]
    last = village.reported()[-1]
    assert last["size_over_time"].startswith("![Members of visitors over time](data:image/png;base64,iVBOR")
    assert "| scheduled | 3 | 1 | 0 |\n" in last["last_evaluations"]
    assert "| first | 2 | 2 | 0 |" in last["last_evaluations"]


def test_one_segment_can_be_evaluated_by_itself(village: Village) -> None:
    village.run(due(village), evaluate_all_segments.name)
    execute(village.instance, Request(evaluate_all_segments.name, "visitors"))
    assert [each["partition"] for each in village.reported()] == ["everybody", "visitors", "visitors"]


def test_an_error_of_one_segment_fails_the_run_and_reports_the_others(village: Village) -> None:
    village.segment("everybody", {"trait": {"field": "shoe_size", "gt": 40}})
    with pytest.raises(InvalidInput, match="segment everybody: where: field 'shoe_size' is not known"):
        village.run(due(village), evaluate_all_segments.name)
    assert [each["partition"] for each in village.reported()] == ["visitors"]


def test_touched_contacts_start_a_run_which_reports_what_moved(village: Village) -> None:
    first = village.tick(segment_automation.touched_contacts)
    assert isinstance(first, dg.SensorResult)
    (request,) = first.run_requests or []
    village.run(request, follow_touched_contacts.name)
    assert isinstance(village.tick(segment_automation.touched_contacts, first.cursor), dg.SkipReason)

    village.visited("c")
    second = village.tick(segment_automation.touched_contacts, first.cursor)
    assert isinstance(second, dg.SensorResult)
    (request,) = second.run_requests or []
    village.run(request, follow_touched_contacts.name)
    assert [(each["partition"], each["cause"], each["entered"]) for each in village.reported()] == [
        ("everybody", "first", 3),
        ("visitors", "first", 2),
        ("everybody", "touched", 0),
        ("visitors", "touched", 1),
    ]

    village.person("d")
    third = village.tick(segment_automation.touched_contacts, second.cursor)
    assert isinstance(third, dg.SensorResult)
    (request,) = third.run_requests or []
    village.run(request, follow_touched_contacts.name)
    assert [(each["partition"], each["entered"]) for each in village.reported()[4:]] == [
        ("everybody", 1),
        ("visitors", 0),
    ]


def test_a_run_for_touched_contacts_that_failed_is_tried_again(village: Village) -> None:
    first = village.tick(segment_automation.touched_contacts)
    assert isinstance(first, dg.SensorResult)
    village.segment("everybody", {"trait": {"field": "shoe_size", "gt": 40}})
    with pytest.raises(InvalidInput):
        village.run((first.run_requests or [])[0], follow_touched_contacts.name)
    second = village.tick(segment_automation.touched_contacts, first.cursor)
    assert isinstance(second, dg.SensorResult)
    third = village.tick(segment_automation.touched_contacts, second.cursor)
    assert isinstance(third, dg.SensorResult)
    assert third.cursor == second.cursor


def test_without_segments_there_is_nothing_to_do(village: Village) -> None:
    with dg.instance_for_test() as empty:
        assert all_segments(empty) == {}
        with dg.build_schedule_context(instance=empty) as context:
            assert isinstance(segment_automation.evaluate_segments_hourly(context), dg.SkipReason)
        with dg.build_sensor_context(instance=empty) as context:
            assert isinstance(segment_automation.touched_contacts(context), dg.SkipReason)
