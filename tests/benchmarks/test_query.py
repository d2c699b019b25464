"""SQL over papers, claims and results: views hold the rows, a query reaches nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.board import Board, read_board
from benchmarks.columns import VIEWS
from benchmarks.query import SETTINGS, as_records, ask, column_rows, open_views, query, rows_of
from registry.errors import UserError

duckdb = pytest.importorskip("duckdb", reason="the extra netcompress[query]")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return read_board(tmp_path_factory.mktemp("no-results"))


@pytest.fixture(scope="module")
def views(board: Board) -> Iterator[Any]:
    with open_views(board) as connection:
        yield connection


def test_the_columns_are_those_of_the_rows(board: Board) -> None:
    rows = rows_of(board)
    assert list(rows) == list(VIEWS) == ["papers", "claims", "results", "measurements"]
    for view, columns in VIEWS.items():
        assert rows[view], view
        for row in rows[view]:
            assert list(row) == list(columns), view


@pytest.mark.parametrize("view", list(VIEWS))
def test_a_view_holds_its_rows_value_by_value(views: Any, board: Board, view: str) -> None:
    found = as_records(ask(views, f"SELECT * FROM {view}"))
    rows = rows_of(board)[view]
    assert len(found) == len(rows)
    for one, row in zip(found, rows, strict=True):
        for name, value in row.items():
            if name == "configuration":
                one[name] = {key: json.loads(text) for key, text in one[name].items()}
            if name == "metrics":
                value = {k: {n: v[n] for n in one[name][k]} for k, v in value.items()}
            assert one[name] == value, f"{view}.{name}"


def test_questions_are_answered(views: Any, board: Board) -> None:
    counted = query("SELECT verdict, count(*) AS n FROM claims GROUP BY ALL", board)
    expected: dict[str, int] = {}
    for standing in board.standings:
        word = standing.judgement.verdict
        expected[word] = expected.get(word, 0) + 1
    assert dict(counted.rows) == expected
    assert counted.columns == ("verdict", "n")
    same = ask(
        views,
        "SELECT count(*) FROM results r JOIN measurements m USING (fingerprint) "
        "WHERE r.metrics[m.metric].value = m.value",
    )
    assert same.rows[0][0] == sum(len(one.result.metrics) for one in board.stored) > 0


def test_the_schema_lists_every_column() -> None:
    listed = column_rows()
    assert {(row[0], row[1]) for row in listed.rows} == {
        (view, name) for view, columns in VIEWS.items() for name in columns
    }


def test_odd_values_are_printable(views: Any) -> None:
    answer = ask(
        views,
        "SELECT 1 AS a, 2 AS a, 'inf'::DOUBLE AS x, DATE '2016-02-29' AS d, "
        "1.5::DECIMAL(4, 1) AS y, 'ab'::BLOB AS b, [1, NULL] AS l, MAP {1: 'x'} AS m, "
        "INTERVAL 1 DAY AS i, 170141183460469231731687303715884105727 AS h",
    )
    assert answer.columns[:2] == ("a", "a_2")
    assert answer.rows[0][:8] == (1, 2, None, "2016-02-29", 1.5, "6162", [1, None], {"1": "x"})
    json.dumps(answer.rows, allow_nan=False)


SECRET = "a-secret-of-this-test"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{folder}/*')",
        "COPY claims TO '{folder}/out.csv'",
        "COPY papers FROM '{file}'",
        "EXPORT DATABASE '{folder}/out'",
        "ATTACH '{folder}/out.db' AS other",
        "INSTALL httpfs",
        "LOAD '{folder}/x.duckdb_extension'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA enable_profiling = 'json'",
        "CREATE TABLE mine AS SELECT 1",
        "DROP VIEW claims",
        "DELETE FROM held.claims",
        "INSERT INTO held.papers SELECT * FROM papers",
        "UPDATE held.claims SET verdict = 'reproduced'",
        "EXPLAIN ANALYZE COPY claims TO '{folder}/out.csv'",
        "SELECT 1; COPY claims TO '{folder}/out.csv'",
        "SELECT * FROM board",
        "SELECT * FROM rows",
        "CALL pragma_version()",
        "PREPARE x AS SELECT 1",
    ],
)
def test_a_query_reads_and_writes_no_files_and_changes_nothing(
    views: Any, statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.csv").write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        ask(views, statement.format(file=tmp_path / "secret.csv", folder=tmp_path))
    message = str(caught.value)
    assert SECRET not in message
    assert "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize("statement", ["", " ", "-- nothing", "/* nothing */", ";"])
def test_nothing_asked_is_said(views: Any, statement: str) -> None:
    with pytest.raises(UserError, match="one statement at a time: there are 0"):
        ask(views, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELEC 1", "SELECT nothing FROM claims", "SELECT 1/'x'", "\x00", "SELECT '", "SELECT $1",
        "SELECT \U0001f600", "SELECT * FROM repeat_row(", "SELECT error('x\ny')",
        "SELECT CAST('x' AS INTEGER)",
    ],
)  # fmt: skip
def test_bad_sql_is_one_line(views: Any, statement: str) -> None:
    with pytest.raises(UserError) as caught:
        ask(views, statement)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 20


def test_the_walls_stand_and_are_locked(views: Any) -> None:
    found = dict(ask(views, "SELECT name, value FROM duckdb_settings()").rows)
    for name, value in (*SETTINGS.items(), ("lock_configuration", "true")):
        assert name == "memory_limit" or found[name] == value, name
    assert found["memory_limit"] == "1.0 GiB"


def test_endless_answers_are_refused(views: Any) -> None:
    with pytest.raises(UserError, match="add a LIMIT"):
        ask(views, "SELECT * FROM range(10000000000)")


def run(arguments: list[str], code: int = 0, before: str = "") -> Any:
    script = f"import sys\n{before}\nsys.argv[0] = 'netcompress'\n"
    script += "from netcompress.__main__ import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_command_prints_json_and_csv_alone() -> None:
    sql = "SELECT id, '=1+1' AS sum FROM papers ORDER BY id LIMIT 1"
    found = json.loads(run(["query", sql, "--json"]).stdout)
    assert found == [{"id": "2013-predicting-parameters", "sum": "=1+1"}]
    assert run(["query", sql, "--csv"]).stdout == ("id,sum\n2013-predicting-parameters,'=1+1\n")


def test_a_missing_duckdb_and_a_wrong_statement_are_one_message() -> None:
    gone = run(["query", "SELECT 1"], 2, "sys.modules['duckdb'] = None")
    assert "python -m pip install 'netcompress[query]'" in gone.stderr
    assert len(gone.stderr.strip().splitlines()) == 1
    wrong = run(["query", "SELECT nothing FROM claims"], 2)
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert "nothing" in wrong.stderr
    assert "--schema" in run(["query"], 2).stderr
