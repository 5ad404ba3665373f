"""Any value in a run's tables and in its metrics by round is shown, left out, or told in a sentence."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.hostile.hostile_values import LETTERS, NUMBERS, ROUNDS, is_seen
from tests.unit.runner.report.recorded_runs import MLFLOW_RUN, Shape, make_run
from tests.unit.runner.special_files import SPECIAL

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs, Rounds, read_metadata
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.report.charts.signal_charts import learning_chart
from qlib_shadow_runner.report.details import Details
from qlib_shadow_runner.tables.files import FAULTS_FILE, FILES, read_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL: Final = Shape(days=45, symbols=12)
FLOATS: Final = (
    None,
    math.nan,
    float("inf"),
    float("-inf"),
    1e308,
    -1e308,
    5e-324,
    -0.0,
    0.0,
    -1.0,
    1e18,
)
DAYS: Final = (
    None,
    date(1, 1, 1),
    date(1969, 12, 31),
    date(1970, 1, 1),
    date(9999, 12, 31),
    date(2023, 1, 3),
)
TEXTS: Final = (None, "", "<b>", "$x$", "train", "S001", "a" * 4_000, "\ud7ff", *LETTERS)
COUNTS: Final = (None, 0, 1, -1, 2, 2**63 - 1, -(2**63))
STEPS: Final = (*NUMBERS, "nan", "inf", "-inf", "1e308", "-1e308", "0", "-1", "1", "0.5", "", "x", *LETTERS)


def hostile(kind: pa.DataType, chosen: random.Random) -> Any:
    """Return a value that a column of this type can hold."""
    if pa.types.is_date(kind):
        return chosen.choice(DAYS)
    if pa.types.is_floating(kind):
        return chosen.choice(FLOATS)
    return chosen.choice(COUNTS if pa.types.is_integer(kind) else TEXTS)


def changed(table: pa.Table, chosen: random.Random) -> pa.Table:
    """Return a table of the same columns with other values, or with other rows."""
    rows = table.to_pylist()
    way = chosen.choice(
        ["cells", "cells", "cells", "column", "column", "twice", "none", "one", "mixed", "short"]
    )
    column = chosen.choice(table.schema.names)
    kind = table.schema.field(column).type
    if way == "cells":
        for row in chosen.sample(rows, min(len(rows), 5)):
            name = chosen.choice(table.schema.names)
            row[name] = hostile(table.schema.field(name).type, chosen)
    elif way == "column":
        same = hostile(kind, chosen)
        rows = [{**row, column: same} for row in rows]
    else:
        chosen.shuffle(rows) if way == "mixed" else None
        rows = {"twice": rows * 2, "none": [], "one": rows[:1], "mixed": rows, "short": rows[:7]}[way]
    return pa.Table.from_pylist(rows, schema=table.schema)


def written(content: bytes, chosen: random.Random) -> bytes:
    """Return the content of a file of other values, of other columns, or one that is damaged."""
    table = pq.read_table(io.BytesIO(content))
    way = chosen.choice(["values", "values", "values", "columns", "coded", "said", "flipped", "cut"])
    if way == "flipped":
        damaged = bytearray(content)
        for _ in range(chosen.randint(1, 8)):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        return bytes(damaged)
    if way == "cut":
        return content[: chosen.randrange(len(content))]
    table = changed(table, chosen)
    if way == "columns":
        table = table.drop_columns(chosen.choice(table.column_names))
    elif way == "coded":
        name = chosen.choice(table.column_names)
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.string()).dictionary_encode())
    elif way == "said":
        table = table.replace_schema_metadata({"pandas": '{"index_columns": 1e999', "ARROW:schema": "x"})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression=chosen.choice(["none", "zstd", "snappy"]))
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a made run."""
    return make_run(tmp_path / "data", shape=SMALL)


def rounds(usual: int, share: int) -> tuple[random.Random, range]:
    """Return how random numbers are drawn, and how often; in `make chaos` other ones, and more."""
    if ROUNDS is None:
        return random.Random(5), range(usual)
    return random.Random(), range(int(ROUNDS) // share)


def hostile_tables(folder: Path, chosen: random.Random) -> Iterator[list[str]]:
    """Change one or two tables as often as is asked, with the hashes that the run states; name them."""
    document = json.loads((folder / "RUN_METADATA.json").read_bytes())
    before = {name: (folder / name).read_bytes() for name in [*FILES, FAULTS_FILE]}
    while True:
        names = chosen.sample(list(FILES), chosen.choice([1, 1, 2]))
        contents = {**before, **{name: written(before[name], chosen) for name in names}}
        outputs = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        (folder / "RUN_METADATA.json").write_text(json.dumps({**document, "outputs": outputs}))
        yield names


def test_random_values_in_tables_give_figures_or_a_sentence(folder: Path):
    """Whatever Parquet can hold in a table's columns, under the hash that the run states."""
    chosen, times = rounds(40, 2)
    changes = hostile_tables(folder, chosen)
    for _ in times:
        names = next(changes)
        try:
            material = ReportMaterial(
                Outputs(read_tables(folder, read_metadata(folder))), RunFacts(horizon=2)
            )
            missing = material.figures.missing
        except Exception as error:
            error.add_note(f"{names}, {chosen.getstate()[1][:2]}")
            raise
        assert all(map(is_seen, missing))


@pytest.mark.parametrize(
    "command", ["report made --output OUT", "verify made", "compare made made --output OUT"]
)
def test_random_values_in_tables_give_a_page_or_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
):
    """On the page too, no character is hidden."""
    chosen, times = rounds(1, 60)
    changes, page = hostile_tables(folder, chosen), tmp_path / "page.html"
    faults: list[object] = []
    for _ in times:
        names = next(changes)
        page.write_text("")
        words = command.replace("OUT", str(page)).split()
        code = main([*words, "--data", str(tmp_path / "data")])
        output = capsys.readouterr()
        told = output.out + output.err
        if "InternalError" in told or "Traceback" in told or not is_seen(told + page.read_text()):
            faults.append((names, code, told[-600:]))
    assert not faults, "\n".join(map(str, faults))


def curve_of(folder: Path) -> tuple[Any, list[str]]:
    """Return what the report knows of a learning curve, and what it says is missing."""
    metadata = read_metadata(folder)
    material = ReportMaterial(Outputs(read_tables(folder, metadata)), RunFacts())
    details = Details.of(material, folder, metadata, None)
    return details.curve, [said for said in details.missing if "learning curve" in said]


def test_random_values_in_metrics_by_round_give_a_curve_or_a_sentence(folder: Path):
    """Steps, values and times of any kind, in any order."""
    chosen, times = rounds(12, 5)
    metrics = folder / "mlruns/1" / MLFLOW_RUN / "metrics"
    for _ in times:
        for name in ("l2.train", "l2.valid"):
            lines = [[str(1_796_060_680 + step), f"{0.9 - step / 100}", str(step)] for step in range(9)]
            for line in chosen.sample(lines, chosen.choice([0, 1, 2])):
                line[chosen.choice([1, 1, 2])] = chosen.choice(STEPS)
            text = chosen.choice(["\n", "\n", "\r\n", "\u2028"]).join(map(" ".join, lines))
            (metrics / name).write_bytes(text.encode(errors="surrogatepass"))
        curve, missing = curve_of(folder)
        assert (curve is None) == bool(missing), missing
        assert all(is_seen(said) and len(said) < 400 for said in missing), missing
        if curve is not None:
            assert learning_chart(curve, Rounds(9, chosen.choice([1, 5, 9, 10]))).svg()


@pytest.mark.parametrize("place", ["metrics/l2.valid", "metrics", ""])
@pytest.mark.parametrize("kind", SPECIAL)
def test_metrics_by_round_are_read_from_plain_files_alone(folder: Path, kind: str, place: str):
    """No link is followed, nothing is waited for, and no file of any size is read."""
    path = folder / "mlruns/1" / MLFLOW_RUN / place
    path.rename(folder.parent / "away")
    SPECIAL[kind](path)
    if kind == "link":  # what it leads to is a curve like any other
        path.unlink()
        path.symlink_to(folder.parent / "away")
    curve, missing = curve_of(folder)
    assert curve is None
    assert len(missing) == 1
