"""The ledger's rows: planned once, claimed once, appended once."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import Inconsistent
from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch import ledger
from campaign_pipeline.dispatch.ledger import OutcomeRow, Source

RUN = "spring-sale--20260302t090000z"
NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)


def row(message_no: int, outcome: Outcome = Outcome.ACCEPTED, source: Source = Source.SEND) -> OutcomeRow:
    return OutcomeRow(RUN, message_no, 1, source, outcome, "", "id", NOW)


def test_the_same_plan_again_is_a_no_op_and_another_one_inconsistent(db: sa.Engine) -> None:
    with writing(db) as connection:
        for _ in range(2):
            ledger.record_plan(connection, RUN, messages=3, batches=1, content_hash="a" * 24, at=NOW)
    with pytest.raises(Inconsistent, match="are not those that were planned"), writing(db) as connection:
        ledger.record_plan(connection, RUN, messages=3, batches=1, content_hash="b" * 24, at=NOW)


def test_a_run_without_a_plan_is_not_sent(db: sa.Engine) -> None:
    with reading(db) as connection, pytest.raises(Inconsistent, match="has no plan"):
        ledger.require_plan(connection, RUN, "a" * 24)


def test_of_two_claims_of_a_batch_only_the_first_wins(db: sa.Engine) -> None:
    assert ledger.claim(db, RUN, 0, 1, "one", NOW)
    assert not ledger.claim(db, RUN, 0, 1, "two", NOW)
    assert ledger.claim(db, RUN, 0, 2, "two", NOW)
    with reading(db) as connection:
        claims = ledger.read_claims(connection, RUN)
    assert claims.select("attempt", "worker").rows() == [(1, "one"), (2, "two")]
    assert claims.schema == pl.Schema(ledger.CLAIMS)


def test_who_is_left_out_is_recorded_only_by_the_worker_that_claims(db: sa.Engine) -> None:
    ledger.claim(db, RUN, 0, 1, "one", NOW)
    assert not ledger.claim(db, RUN, 0, 1, "two", NOW, lambda _: [row(7, Outcome.SUPPRESSED, Source.POLICY)])
    with reading(db) as connection:
        assert ledger.read_outcomes(connection, RUN).height == 0


def test_outcomes_are_appended_once_and_read_back_as_written(db: sa.Engine) -> None:
    later = row(1)._replace(recorded_at=NOW + timedelta(seconds=1), code="21610", outcome=Outcome.REJECTED)
    ledger.append_outcomes(db, [row(0), later])
    ledger.append_outcomes(db, [row(0)._replace(outcome=Outcome.REJECTED), row(2)])
    with reading(db) as connection:
        found = ledger.read_outcomes(connection, RUN).sort("message_no")
        none = ledger.read_outcomes(connection, "other--20260302t090000z")
    assert found.rows() == [
        (0, 1, "send", "accepted", "", "id", NOW),
        (1, 1, "send", "rejected", "21610", "id", NOW + timedelta(seconds=1)),
        (2, 1, "send", "accepted", "", "id", NOW),
    ]
    assert found.schema == none.schema == pl.Schema(ledger.OUTCOMES)
    assert none.height == 0


def test_rows_written_by_the_driver_are_what_sqlalchemy_reads(db: sa.Engine) -> None:
    ledger.append_outcomes(db, [row(0)])
    with reading(db) as connection:
        assert connection.execute(sa.select(ledger.outcomes.c.recorded_at)).scalar_one() == NOW


@pytest.mark.parametrize("database", ["db", "postgres_engine"])
def test_what_the_holder_of_a_claim_appends_is_read_back_to_the_letter(
    database: str, request: pytest.FixtureRequest
) -> None:
    engine: sa.Engine = request.getfixturevalue(database)
    odd = "a\\b\tc\nd\re\\N"
    rows = [row(0), row(1)._replace(code=odd, provider_id=""), row(2)._replace(provider_id=odd)]
    with writing(engine) as connection:
        ledger.append(connection, rows, fresh=True)
    with reading(engine) as connection:
        found = ledger.read_outcomes(connection, RUN).sort("message_no")
    assert found.select("code", "provider_id", "recorded_at").rows() == [
        ("", "id", NOW),
        (odd, "", NOW),
        ("", odd, NOW),
    ]
