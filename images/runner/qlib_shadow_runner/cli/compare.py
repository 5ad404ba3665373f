"""`qlib-shadow compare`: print runs side by side, and write them as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.report import require_writable_file
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_json, print_line, print_rich, rich_cell
from qlib_shadow_runner.runs.listing import find_run
from qlib_shadow_runner.storage.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from qlib_shadow_runner.report.comparison import Compared

RUNS_MAX: Final = 8
"""More curves cannot be told apart on a chart."""
PAGE: Final = "compare.html"
SETTING_WIDTH: Final = 40
"""Characters of a setting that a terminal has room for."""


def print_comparison(runs: Sequence[str], data: Path, output: Path | None, *, as_json: bool) -> int:
    """Print how runs differ, and write the page."""
    folders = _folders(runs, data)
    target = output or Path(PAGE)
    require_writable_file(target)
    from qlib_shadow_runner.report.comparison import Compared  # noqa: PLC0415
    from qlib_shadow_runner.report.comparison_page import render_comparison  # noqa: PLC0415 - takes seconds

    compared = [Compared.read(folder) for folder in folders]
    write_atomically(target, render_comparison(compared).encode())
    if as_json:
        print_json({**document(compared), "page": str(target)})
    else:
        _print_tables(compared)
        print_line(str(target))
    return ExitCode.DONE


def _folders(names: Sequence[str], data: Path) -> list[Path]:
    if len(names) < 2:  # noqa: PLR2004 - one run cannot be compared
        raise StageError(Reason.INVALID_SPEC, "name two runs or more; see: qlib-shadow runs")
    if len(names) > RUNS_MAX:
        raise StageError(
            Reason.INVALID_SPEC,
            f"{len(names)} runs are more than can be told apart; name at most {RUNS_MAX}, "
            "or sort all of them with: qlib-shadow runs --sort ic",
        )
    found = [find_run(data, name).folder for name in names]
    twice = next((name for name, folder in zip(names, found, strict=True) if found.count(folder) > 1), None)
    if twice:
        raise StageError(Reason.INVALID_SPEC, f'"{twice}" is named twice; name different runs')
    return found


def document(runs: Sequence[Compared]) -> dict[str, object]:
    """Return what the JSON output says of the runs."""
    from qlib_shadow_runner.report.comparison import cautions, differences, rows  # noqa: PLC0415

    ids = [run.run_id for run in runs]
    return {
        "runs": ids,
        "figures": [
            {
                "name": row.name,
                "values": dict(zip(ids, row.values, strict=True)),
                "best": [ids[place] for place in sorted(row.best)],
            }
            for row in rows(runs)
        ],
        "differences": [
            {"name": found.name, "values": dict(zip(ids, found.values, strict=True))}
            for found in differences(runs)
        ],
        "cautions": cautions(runs),
    }


def _print_tables(runs: Sequence[Compared]) -> None:
    from qlib_shadow_runner.report.comparison import cautions  # noqa: PLC0415

    names = [f"{number}  {run.run_id}" for number, run in enumerate(runs, start=1)]
    notes = [f"note: {caution}" for caution in cautions(runs)]
    print_rich(*names, _figures(runs), *notes, _differences(runs))


def _figures(runs: Sequence[Compared]) -> Table:
    from qlib_shadow_runner.report.comparison import rows  # noqa: PLC0415

    table = _table("", len(runs), justify="right")
    for row in rows(runs):
        cells = [
            rich_cell(f"{row.show(value)} ★", "bold green")
            if number in row.best
            else rich_cell(f"{row.show(value)}  ")
            for number, value in enumerate(row.values)
        ]
        table.add_row(rich_cell(row.name), *cells)
    return table


def _differences(runs: Sequence[Compared]) -> Table | str:
    from qlib_shadow_runner.report.comparison import differences  # noqa: PLC0415

    found = differences(runs)
    if not found:
        return "nothing differs: the same spec, the same data and the same code"
    table = _table("what differs", len(runs), justify="left")
    for one in found:
        table.add_row(rich_cell(one.name), *(rich_cell(_shortened(value)) for value in one.values))
    return table


def _shortened(value: str) -> str:
    return value if len(value) <= SETTING_WIDTH else f"{value[: SETTING_WIDTH - 1]}…"


def _table(head: str, count: int, *, justify: str) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(head, overflow="fold")
    for number in range(1, count + 1):
        table.add_column(str(number), justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table
