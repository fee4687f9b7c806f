"""Coupon codes: each goes to one contact of one run, whoever asks at the same time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, Refused
from campaign_pipeline.core.tables import coupon_codes
from campaign_pipeline.messages.coupons import ImportedCodes, import_codes, pool_counts, pools, release, reserve

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
RUN, OTHER = "spring--20260302t090000z", "autumn--20260902t090000z"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> sa.Engine:
    return request.getfixturevalue("engine" if request.param == "sqlite" else "postgres_engine")


def contacts(*numbers: int) -> pl.Series:
    return pl.Series("contact_id", [f"{number:024x}" for number in numbers], dtype=pl.String)


def load(database: sa.Engine, file: Path, text: str, pool: str = "spring", **how: str) -> ImportedCodes:
    file.write_text(text)
    with writing(database) as connection:
        return import_codes(connection, pool, file, rejects_path=file.with_suffix(".rejects"), **how)


def handed_out(database: sa.Engine) -> dict[str, tuple[str | None, str | None]]:
    with reading(database) as connection:
        return {row.code: (row.run_id, row.contact_id) for row in connection.execute(sa.select(coupon_codes))}


def test_codes_are_taken_in_once_and_what_is_wrong_is_told(database: sa.Engine, tmp_path: Path) -> None:
    text = f"A1\n B2 \n\nA1\n{'x' * 101}\na1\nC\x073\n"
    result = load(database, tmp_path / "codes.txt", text)
    assert (result.read, result.new, result.known, result.rejected) == (7, 3, 0, 4)
    assert result.rejects_path is not None
    assert [line.rsplit(",", 1)[0] for line in result.rejects_path.read_text().splitlines()[1:]] == [
        "3,is blank",
        "4,line 1 has the same code",
        "5,is longer than 100 characters",
        "7,holds control characters",
    ]
    again = load(database, tmp_path / "codes.txt", "A1\nB2\na1\nD4\n")
    assert (again.new, again.known, again.rejected, again.rejects_path) == (1, 3, 0, None)
    assert handed_out(database) == dict.fromkeys(("A1", "B2", "a1", "D4"), (None, None))


def test_codes_in_a_csv_file(engine: sa.Engine, tmp_path: Path) -> None:
    assert load(engine, tmp_path / "one.csv", "code\nA\nB\n").new == 2
    assert load(engine, tmp_path / "two.csv", 'value,code\n5,"C,1"\n5,D\n', column="code").new == 2
    assert sorted(handed_out(engine)) == ["A", "B", "C,1", "D"]
    with pytest.raises(InvalidInput, match="several columns: value, code"):
        load(engine, tmp_path / "two.csv", "value,code\n5,E\n")
    with pytest.raises(InvalidInput, match="no column 'nope': code"):
        load(engine, tmp_path / "one.csv", "code\nE\n", column="nope")
    with pytest.raises(InvalidInput, match="line 3 has 2 cells"):
        load(engine, tmp_path / "one.csv", "code\nE\nF,G\n")
    assert sorted(handed_out(engine)) == ["A", "B", "C,1", "D"]


def test_each_contact_gets_one_code_and_keeps_it(database: sa.Engine, tmp_path: Path) -> None:
    load(database, tmp_path / "codes", "A\nB\nC\nD\n")
    with writing(database) as connection:
        first = reserve(connection, RUN, {"spring": contacts(2, 1)}, AT)["spring"]
    assert first.rows() == [(f"{1:024x}", "A"), (f"{2:024x}", "B")]
    with writing(database) as connection:
        assert reserve(connection, RUN, {"spring": contacts(2, 1)}, AT)["spring"].equals(first)
        more = reserve(connection, RUN, {"spring": contacts(3, 2)}, AT)["spring"]
        other = reserve(connection, OTHER, {"spring": contacts(1)}, AT)["spring"]
    assert more.rows() == [(f"{2:024x}", "B"), (f"{3:024x}", "C")]
    assert other.rows() == [(f"{1:024x}", "D")]
    with reading(database) as connection:
        assert pool_counts(connection).rows() == [("spring", OTHER, 1), ("spring", RUN, 3)]
        assert pools(connection) == ["spring"]


def test_too_few_codes_hand_out_none(database: sa.Engine, tmp_path: Path) -> None:
    load(database, tmp_path / "codes", "A\nB\nC\n")
    load(database, tmp_path / "codes", "X\n", pool="plenty")
    with writing(database) as connection:
        reserve(connection, RUN, {"spring": contacts(1)}, AT)
    with (
        pytest.raises(Refused, match=f"{RUN} needs 3 codes of pool 'spring', which has 2 free"),
        writing(database) as connection,
    ):
        reserve(connection, RUN, {"plenty": contacts(1), "spring": contacts(1, 2, 3, 4)}, AT)
    assert [code for code, (run, _) in handed_out(database).items() if run] == ["A"]


def test_runs_at_the_same_time_never_get_the_same_code(database: sa.Engine, tmp_path: Path) -> None:
    runs, each = 4, 150
    load(database, tmp_path / "codes", "".join(f"C{n:04}\n" for n in range(runs * each)))
    ready = Barrier(runs)

    def take(number: int) -> list[str]:
        ready.wait()
        taken: list[str] = []
        for start in range(0, each, 50):
            with writing(database) as connection:
                given = reserve(connection, f"run{number}", {"spring": contacts(*range(start, start + 50))}, AT)
            taken += given["spring"]["code"].to_list()
        return taken

    with ThreadPoolExecutor(runs) as threads:
        taken = [code for codes in threads.map(take, range(runs)) for code in codes]
    assert len(taken) == len(set(taken)) == runs * each
    with reading(database) as connection:
        assert pool_counts(connection).rows() == [("spring", f"run{number}", each) for number in range(runs)]


def test_the_codes_of_messages_that_were_never_sent_can_be_used_again(database: sa.Engine, tmp_path: Path) -> None:
    load(database, tmp_path / "codes", "A\nB\nC\nD\n")
    with writing(database) as connection:
        reserve(connection, RUN, {"spring": contacts(1, 2, 3)}, AT)
        reserve(connection, OTHER, {"spring": contacts(3)}, AT)
        erased = sa.update(coupon_codes).where(coupon_codes.c.contact_id == f"{2:024x}").values(contact_id=None)
        connection.execute(erased)
        assert release(connection, RUN, contacts(1)) == 1
        assert release(connection, RUN, contacts(1)) == 0
    assert handed_out(database) == {
        "A": (RUN, f"{1:024x}"),
        "B": (RUN, None),
        "C": (None, None),
        "D": (OTHER, f"{3:024x}"),
    }
