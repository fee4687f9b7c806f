"""What must hold before a run may send: each gate counts what breaks it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import polars as pl
import pytest

from campaign_pipeline.campaigns.gates import Gate, audience_gates, require, snapshot_gate
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.errors import GateFailed

MakeRun = Callable[..., Run]
SUPPRESSED = {"address": pl.String, "reason": pl.String}


def audience(rows: Sequence[tuple[str, str, str | None]]) -> pl.DataFrame:
    """(contact_id, status, address)"""
    schema = {"contact_id": pl.String, "status": pl.String, "address": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


PLANNED = audience(
    [("a", "planned", "a@x"), ("b", "planned", "b@x"), ("c", "held_out", None), ("d", "no_consent", None)]
)


def check(
    run: Run,
    frame: pl.DataFrame = PLANNED,
    *,
    consented: Sequence[str] = ("a", "b"),
    suppressed: Sequence[str] = (),
    now: datetime | None = None,
    final: bool = False,
) -> dict[str, Gate]:
    stopped = pl.DataFrame([(one, "manual") for one in suppressed], schema=SUPPRESSED, orient="row")
    consents = pl.Series("contact_id", list(consented), dtype=pl.String)
    return {gate.name: gate for gate in audience_gates(run, frame, consents, stopped, now or run.as_of, final=final)}


def broken(gates: dict[str, Gate]) -> dict[str, int]:
    return {name: gate.found for name, gate in gates.items() if not gate.passed}


def test_a_good_audience_passes_every_gate(make_run: MakeRun) -> None:
    gates = check(make_run())
    assert broken(gates) == {}
    assert {name for name, gate in gates.items() if gate.blocking} == {
        "nobody_suppressed",
        "everybody_consented",
        "one_message_an_address",
        "before_the_deadline",
    }
    require(list(gates.values()))


def test_a_suppression_since_the_freeze_is_found(make_run: MakeRun) -> None:
    assert broken(check(make_run(), suppressed=["b@x", "stranger@x"])) == {"nobody_suppressed": 1}


def test_a_consent_withdrawn_since_the_freeze_is_found(make_run: MakeRun) -> None:
    assert broken(check(make_run(), consented=["a", "c"])) == {"everybody_consented": 1}
    assert broken(check(make_run(), consented=[])) == {"everybody_consented": 2}


def test_two_messages_to_an_address_are_found(make_run: MakeRun) -> None:
    frame = audience([(name, "planned", "same@x") for name in "abc"])
    assert broken(check(make_run(), frame, consented=["a", "b", "c"])) == {"one_message_an_address": 2}


@pytest.mark.parametrize(("hours", "found"), [(0, 0), (24, 0), (25, 2)])
def test_a_deadline_that_has_passed_is_found(make_run: MakeRun, hours: int, found: int) -> None:
    run = make_run(send_before="24h")
    gate = check(run, now=run.as_of + timedelta(hours=hours))["before_the_deadline"]
    assert (gate.found, gate.passed) == (found, found == 0)


def test_without_send_before_there_is_no_deadline(make_run: MakeRun) -> None:
    run = make_run()
    assert broken(check(run, now=run.as_of + timedelta(days=9_999))) == {}


def test_an_empty_audience_warns_and_does_not_block(make_run: MakeRun) -> None:
    gates = check(make_run(), PLANNED.clear())
    assert broken(gates) == {"audience_not_empty": 0}
    assert not gates["audience_not_empty"].blocking
    require(list(gates.values()))


def test_nothing_is_sent_where_a_gate_failed_and_all_that_did_are_named(make_run: MakeRun) -> None:
    gates = list(check(make_run(), suppressed=["a@x"], consented=["a"]).values())
    with pytest.raises(GateFailed) as caught:
        require(gates)
    assert caught.value.message == (
        "nothing was sent: nobody_suppressed: 1 planned contacts are suppressed; "
        "everybody_consented: 1 planned contacts have no consent for it"
    )
    assert "a@x" not in str(caught.value)


def test_what_time_broke_after_the_messages_were_planned_is_left_to_dispatch(make_run: MakeRun) -> None:
    run = make_run(send_before="24h")
    late = run.as_of + timedelta(days=2)
    gates = check(run, suppressed=["a@x"], consented=["a"], now=late, final=True)
    assert broken(gates) == {}
    assert [gates[name].found for name in ("nobody_suppressed", "everybody_consented", "before_the_deadline")] == [
        1,
        1,
        2,
    ]
    assert gates["nobody_suppressed"].description == (
        "1 planned contacts are suppressed: dispatch leaves out those that are not sent yet"
    )
    twice = audience([(name, "planned", "same@x") for name in "ab"])
    assert broken(check(run, twice, final=True)) == {"one_message_an_address": 1}


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("age", "planned", "passed"),
    [
        (6 * HOUR, False, True),
        (7 * HOUR, False, False),
        (None, False, False),
        (7 * HOUR, True, True),
        (None, True, True),
    ],
)
def test_contacts_must_be_as_fresh_as_demanded(
    make_run: MakeRun, age: timedelta | None, planned: bool, passed: bool
) -> None:
    gate = snapshot_gate(make_run(snapshot_max_age="6h"), age, planned=planned)
    assert (gate.name, gate.blocking, gate.passed) == ("snapshot_fresh", True, passed)
    assert "snapshot_max_age is 6 h" in gate.description
    assert ("materialise contact_snapshot" in gate.description) is not passed


def test_without_a_demand_contacts_may_be_of_any_age(make_run: MakeRun) -> None:
    assert snapshot_gate(make_run(), None, planned=False).passed
