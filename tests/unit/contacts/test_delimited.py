"""Reading delimited text: every line ends in a row or in a reject."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pipeline.contacts.rejects import Reject, write_rejects
from campaign_pipeline.contacts.sources.delimited import read_delimited
from campaign_pipeline.contacts.sources.table import LINE
from campaign_pipeline.core.errors import InvalidInput


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "in.csv"


def test_ragged_rows_are_rejected_with_their_line_and_text(file: Path) -> None:
    file.write_text('a,b\n1,"x\ny"\n2\n3,4\n\n5,6,7\n8,9\n')
    table = read_delimited(file)
    assert table.rows.rows() == [(2, "1", "x\ny"), (5, "3", "4"), (8, "8", "9")]
    assert table.rejects == [
        Reject(4, "has 1 cells where the header has 2", "2\n"),
        Reject(7, "has 3 cells where the header has 2", "5,6,7\n"),
    ]


def test_broken_quoting_is_one_reject_with_all_the_lines_it_took(file: Path) -> None:
    file.write_text('a,b\n1,"x"y\n2,3\n4,"open\n5,6\n')
    table = read_delimited(file)
    assert table.rows.rows() == [(3, "2", "3")]
    assert [(reject.line, reject.text) for reject in table.rejects] == [(2, '1,"x"y\n'), (4, '4,"open\n5,6\n')]
    assert all(reject.reason.startswith("cannot be read as CSV") for reject in table.rejects)


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
    ],
)
def test_a_file_is_read_in_its_encoding_with_or_without_a_mark(file: Path, encoding: str, written: str) -> None:
    file.write_bytes("né,b\nMüller,1\n".encode(written))
    assert read_delimited(file, encoding=encoding).rows.to_dicts() == [{LINE: 2, "né": "Müller", "b": "1"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b, a\n", "names 'a' twice"),
        (b"a,b\n1,\x00\n", "line 2 holds a NUL byte"),
        (b"a,b\n1,\xff\xfe\n", "are not utf-8"),
        ("a,b\n1,2\n".encode("utf-16"), "byte order mark of utf-16, so it is not utf-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "NUL byte"),
        (b'a,"b\n', "the header"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_delimited(file)


def test_another_encodings_mark_is_not_read_as_characters(file: Path) -> None:
    file.write_bytes("a,b\n1,2\n".encode("utf-8-sig"))
    with pytest.raises(InvalidInput, match="byte order mark of utf-8, so it is not latin-1"):
        read_delimited(file, encoding="latin-1")
    file.write_bytes("a,b\n1,ü\n".encode("utf-32"))
    assert read_delimited(file, encoding="utf-32").rows.rows() == [(2, "1", "ü")]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("iso-8859-15", "1 €,ž"),
        ("windows-1250", "ő,ű"),
        ("shift_jis", "名前,表示"),
        ("gb18030", "姓名,😀"),
        ("koi8-r", "Ж,щ"),
    ],
)
def test_any_encoding_that_python_knows_can_be_named(file: Path, encoding: str, text: str) -> None:
    file.write_bytes(f"a,b\n{text}\n".encode(encoding))
    table = read_delimited(file, encoding=encoding)
    assert list(table.rows.row(0)[1:]) == text.split(",")
    assert table.warnings == {}


def test_utf_8_read_as_something_else_is_a_warning(file: Path) -> None:
    file.write_bytes("a,b\n1,Müller\n".encode())
    assert read_delimited(file, encoding="cp1252").warnings == {"text_is_utf_8": 1}
    file.write_bytes(b"a,b\n1,Miller\n")
    assert read_delimited(file, encoding="cp1252").warnings == {}


def test_quotes_and_escapes_are_what_the_user_says(file: Path) -> None:
    file.write_text("a;b\n'x;y';'it''s'\n")
    assert read_delimited(file, delimiter=";", quote="'").rows.row(0) == (2, "x;y", "it's")
    file.write_text('a,b\n"5\\" pipe",x\\,y\n')
    assert read_delimited(file, escape="\\").rows.row(0) == (2, '5" pipe', "x,y")
    file.write_text('a|b\n"open|5" pipe\n')
    assert read_delimited(file, delimiter="|", quote="none").rows.row(0) == (2, '"open', '5" pipe')


@pytest.mark.parametrize("how", [{"quote": ","}, {"quote": "ab"}, {"escape": ","}, {"escape": '"'}, {"escape": "\n"}])
def test_quotes_and_escapes_that_cannot_be_told_apart_are_refused(file: Path, how: dict[str, str]) -> None:
    file.write_text("a\n1\n")
    with pytest.raises(InvalidInput):
        read_delimited(file, **how)


def test_a_huge_cell_is_a_reject_and_not_the_end(file: Path) -> None:
    huge = "x" * 200_000
    file.write_text(f'a,b\n1,{huge}\n2,"{huge}"\n3,{"y" * 131_072}\n4,d\n')
    table = read_delimited(file)
    assert table.rows["a"].to_list() == ["3", "4"]
    assert [(reject.line, reject.reason) for reject in table.rejects] == [
        (2, "cannot be read as CSV: field larger than field limit (131072)"),
        (3, "cannot be read as CSV: field larger than field limit (131072)"),
    ]


def test_a_quote_that_never_closes_swallows_no_row_without_a_word(file: Path) -> None:
    rows = "".join(f"{number},some text to fill the line\n" for number in range(20_000))
    file.write_text(f'a,b\n0,"open\n{rows}')
    table = read_delimited(file)
    assert len(table.rows) + sum(reject.text.count("\n") for reject in table.rejects) == 20_001
    assert [reject.line for reject in table.rejects] == [2]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", " "])
def test_an_unusable_delimiter_is_refused(file: Path, delimiter: str) -> None:
    file.write_text("a\n1\n")
    with pytest.raises(InvalidInput, match="delimiter"):
        read_delimited(file, delimiter=delimiter)


def test_a_missing_file_and_an_unknown_encoding_are_refused(file: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_delimited(file)
    with pytest.raises(InvalidInput, match="encoding 'ebcdic'"):
        read_delimited(file, encoding="ebcdic")


def test_columns_may_stand_between_runs_of_blanks(file: Path) -> None:
    file.write_bytes(b" id  date   n \r\n 01 19970101  1\r\n\r\n 02   19970102\r\n")
    table = read_delimited(file, delimiter="whitespace")
    assert table.rows.rows() == [(2, "01", "19970101", "1")]
    assert [reject.line for reject in table.rejects] == [4]


def test_a_header_cell_without_a_name_gets_one(file: Path) -> None:
    file.write_text(",b,\n0,1,2\n")
    assert read_delimited(file).columns == ["column_1", "b", "column_3"]


def test_a_header_alone_is_a_table_without_rows(file: Path) -> None:
    file.write_text("a,b\n")
    assert read_delimited(file).rows.shape == (0, 3)


def test_rejects_are_written_so_that_no_spreadsheet_runs_them(tmp_path: Path) -> None:
    path = tmp_path / "out" / "rejects.csv"
    rejects = [
        Reject(7, "has 1 cells", "-1+1,2\r\n"),
        Reject(3, "no id", '=HYPERLINK("x")\n'),
        Reject(5, "r", "a,=b\n"),
    ]
    assert write_rejects(path, rejects) == path
    with path.open(newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["line", "reason", "row"],
            ["3", "no id", '\'=HYPERLINK("x")'],
            ["5", "r", "a,=b"],
            ["7", "has 1 cells", "'-1+1,2"],
        ]
    assert write_rejects(path, []) is None
    assert not path.exists()


cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.lists(cells, min_size=2, max_size=2), max_size=12))
def test_what_a_csv_writer_wrote_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    file = tmp_path_factory.mktemp("csv") / "in.csv"
    file.write_bytes(text.getvalue().encode())
    table = read_delimited(file)
    assert [list(row) for row in table.rows.select("a", "b").iter_rows()] == rows
    assert table.rejects == []


@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=60))
def test_every_line_ends_in_a_row_or_a_reject(tmp_path_factory: pytest.TempPathFactory, body: str) -> None:
    file = tmp_path_factory.mktemp("csv") / "in.csv"
    file.write_bytes(b"a,b\n" + body.encode())
    table = read_delimited(file)
    lines = [line for line in io.StringIO(body, newline="") if line.strip("\r\n")]
    seen = len(table.rows) + len(table.rejects)
    assert seen <= len(lines)
    assert (seen == 0) == (not lines)
