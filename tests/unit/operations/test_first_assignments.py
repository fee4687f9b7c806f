"""First assignments through freezes: later runs, shared experiments, runs at once, frozen anew, old audiences."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import NOT_IN_TEST, Campaign
from campaign_pipeline.campaigns.experiments_policy import ExperimentsPolicy
from campaign_pipeline.campaigns.first_assignments import ASSET
from campaign_pipeline.campaigns.store import apply_campaign, apply_experiments_policy, load_run, request_run
from campaign_pipeline.contacts.consent import record_consent
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import contacts
from campaign_pipeline.core.words import Channel, ConsentState
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template
from campaign_pipeline.operations.assignments import expected_weights
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.rendering import write_messages
from campaign_pipeline.operations.results import compare, measure_assignments, measure_facts
from campaign_pipeline.operations.runs import freeze_audience, plan_dispatch
from campaign_pipeline.operations.snapshot import take_snapshot

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PEOPLE = sorted(ids.contact_id(f"person{n}") for n in range(120))
EVEN, NEW = {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 9.0}


@pytest.fixture
def people(installation: Installation) -> Installation:
    with writing(installation.engine) as connection:
        for name in PEOPLE:
            row = {"contact_id": name, "external_id": name, "email": f"{name}@example.com", "attributes": {}}
            connection.execute(sa.insert(contacts).values(row | {"created_at": AT, "updated_at": AT}))
            record_consent(connection, name, Channel.EMAIL, ConsentState.GRANTED, source="form", at=AT)
        for name in "abc":
            texts = {
                "subject": f"Hi {name}",
                "text": "x",
                "html": '<p>{{ variant }} <a href="{{ unsubscribe_url }}">x</a></p>',
            }
            apply_template(connection, Template.model_validate({"template": name, "channel": "email"} | texts), AT)
    take_snapshot(installation)
    return installation


def run_of(
    installation: Installation, weights: Mapping[str, float], days: int = 0, name: str = "news", **fields: Any
) -> str:
    """A run of campaign `name`, `days` after AT, of everybody."""
    variants = [{"name": each, "weight": weight, "template": each} for each, weight in weights.items()]
    given = {"campaign": name, "channel": "email", "segment": "all", "variants": variants} | fields
    with writing(installation.engine) as connection:
        apply_campaign(connection, Campaign.model_validate(given), AT)
        run_id = request_run(connection, name, AT + timedelta(days=days), requested_by="cli", at=AT)
    installation.lake.write(pl.DataFrame({"contact_id": PEOPLE}), "segment_members", run_id)
    return run_id


def frozen(installation: Installation, run_id: str) -> dict[str, str | None]:
    return dict(freeze_audience(installation, run_id)[1].select("contact_id", "variant").iter_rows())


def test_later_runs_keep_what_the_first_one_assigned(people: Installation) -> None:
    first = frozen(people, run_of(people, EVEN))
    later = run_of(people, NEW, days=7)
    assert frozen(people, later) == first
    assert 40 < list(first.values()).count("a") < 80
    assert set(people.lake.read("audience", later)["first_run_id"]) == {"news--20260302t090000z"}
    assert frozen(people, run_of(people, NEW, days=14, experiment={"sticky": False})) != first


def test_campaigns_of_one_experiment_share_its_assignments(people: Installation) -> None:
    first = frozen(people, run_of(people, EVEN, experiment={"name": "tone"}))
    assert frozen(people, run_of(people, NEW, name="offers", experiment={"name": "tone"})) == first
    assert frozen(people, run_of(people, NEW, name="others")) != first


def test_a_test_that_begins_later_draws_everybody(people: Installation) -> None:
    assert set(frozen(people, run_of(people, {"a": 1})).values()) == {"a"}
    assert set(frozen(people, run_of(people, EVEN, days=7)).values()) == {"a", "b"}


def test_frozen_anew_it_says_the_same(people: Installation) -> None:
    frozen(people, run_of(people, EVEN | {"c": 2}))
    run_id = run_of(people, NEW, days=7)
    _, once = freeze_audience(people, run_id)
    file = people.lake.path(ASSET, "news").read_bytes()
    _, again = freeze_audience(people, run_id)
    assert again.equals(once)
    assert people.lake.path(ASSET, "news").read_bytes() == file
    assert set(once["reassigned_from"]) == {None, "c"}


def test_it_is_made_from_frozen_audiences_where_it_is_not_there(people: Installation) -> None:
    """Lost, or not kept by the version of the product that froze them."""
    runs = [run_of(people, EVEN | {"c": 2}), run_of(people, NEW, days=7)]
    for run_id in runs:
        freeze_audience(people, run_id)
    kept = people.lake.read(ASSET, "news")
    third = run_of(people, {"b": 1, "a": 9}, days=14)
    expected = frozen(people, third)
    people.lake.path(ASSET, "news").unlink()
    assert frozen(people, third) == expected
    assert people.lake.read(ASSET, "news").equals(kept)
    for run_id in runs:
        old = people.lake.read("audience", run_id).drop("first_run_id", "reassigned_from")
        people.lake.write(old, "audience", run_id)
    people.lake.path(ASSET, "news").unlink()
    first = dict(people.lake.read("audience", runs[0]).select("contact_id", "variant").iter_rows())
    found = frozen(people, third)
    assert {name for name, variant in first.items() if variant != "c" and found[name] != variant} == set()


def test_two_runs_at_once_agree_on_who_was_first(people: Installation) -> None:
    runs = [run_of(people, EVEN), run_of(people, NEW, days=7)]
    together, found = Barrier(2), dict[str, dict[str, str | None]]()

    def freeze(run_id: str) -> None:
        together.wait()
        found[run_id] = frozen(people, run_id)

    threads = [Thread(target=freeze, args=(run_id,)) for run_id in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[runs[0]] == found[runs[1]]
    assert people.lake.read(ASSET, "news")["first_run_id"].n_unique() == 1


def test_those_outside_of_the_test_get_the_message_of_the_control(people: Installation) -> None:
    run_id = run_of(people, EVEN, experiment={"coverage": 0.5})
    audience = frozen(people, run_id)
    outside = {name for name, variant in audience.items() if variant == NOT_IN_TEST}
    assert 40 < len(outside) < 80
    assert not outside & set(people.lake.read(ASSET, "news")["contact_id"])
    write_messages(people, run_id)
    sent = dict(people.lake.read("messages", run_id).select("contact_id", "variant").iter_rows())
    assert sent == audience | dict.fromkeys(outside, "a")
    plan_dispatch(people, run_id)
    facts = measure_facts(people, run_id)
    assert set(facts.filter(pl.col("variant") == NOT_IN_TEST)["contact_id"]) == outside
    results = compare(people, run_id, AT.date()).filter(metric="clicked")
    assert dict(results.select("variant", "units").iter_rows()) == {
        name: list(audience.values()).count(name) for name in EVEN
    }


def test_assignments_tell_who_was_assigned_and_who_is_held_out(people: Installation) -> None:
    with writing(people.engine) as connection:
        policy = {"global_holdout": {"percent": 20, "seed": "2026H1"}, "layers": {"mails": ""}}
        apply_experiments_policy(connection, ExperimentsPolicy.model_validate(policy), AT)
    first = run_of(people, EVEN | {"c": 2})
    freeze_audience(people, first)
    run_id = run_of(people, NEW, days=7, holdout=20, experiment={"layer": "mails", "range": [0, 0.9]})
    _, audience = freeze_audience(people, run_id)
    write_messages(people, run_id)
    measure_facts(people, run_id)
    found = measure_assignments(people, run_id)
    assert found.select("contact_id", "variant", "status", "reassigned_from").equals(
        audience.select("contact_id", "variant", "status", "reassigned_from")
    )
    assert set(found["status"]) == {"planned", "held_out", "held_out_globally"}
    assert found.select("run_id", "campaign", "experiment", "layer").unique().row(0) == (
        run_id,
        "news",
        "news",
        "mails",
    )
    kept = found.filter(pl.col("first_run_id") == first)
    assert set(kept["assigned_at"]) == {AT}
    assert set(kept["variant"]) == {"a", "b"}
    others = found.filter(pl.col("first_run_id") == run_id)
    assert set(others["assigned_at"]) == {AT + timedelta(days=7)}
    assert kept.height + others.height == len(PEOPLE)
    assert found["exposed_at"].null_count() == len(PEOPLE)  # nothing was sent yet
    assert people.lake.read("assignments", run_id).equals(found)


def test_the_share_that_a_variant_should_have_is_that_of_the_runs_that_assigned_it(people: Installation) -> None:
    run_of(people, EVEN)
    first = run_of(people, EVEN)
    people.lake.write(pl.DataFrame({"contact_id": PEOPLE[:90]}), "segment_members", first)
    freeze_audience(people, first)
    later = run_of(people, NEW, days=7)
    freeze_audience(people, later)
    with reading(people.engine) as connection:
        one, two = load_run(connection, first), load_run(connection, later)
    assert expected_weights(people, one) == {"a": 0.5, "b": 0.5}
    assert expected_weights(people, two) == pytest.approx({"a": 0.75 * 0.5 + 0.25 * 0.1, "b": 0.75 * 0.5 + 0.25 * 0.9})
