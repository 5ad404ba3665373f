"""`qlib-shadow compare`: print runs side by side, and write them as a page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.report import require_writable_file
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_json, print_line, print_rich, rich_cell
from qlib_shadow_runner.runs.listing import find_run
from qlib_shadow_runner.storage.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table
    from rich.text import Text

    from qlib_shadow_runner.analysis.paired import PairedDifference
    from qlib_shadow_runner.report.comparison import AgainstTheFirst, Compared, ComparedFigure, Difference

RUNS_MAX: Final = 50
"""Each run is read whole, which takes a good part of a second."""
SIDE_BY_SIDE: Final = 8
"""The most runs that a terminal has a column for."""
PAGE: Final = "compare.html"
DAYS_A_YEAR: Final = 252


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
            f"{len(names)} runs are more than can be compared; name at most {RUNS_MAX}, "
            "or sort all of them with: qlib-shadow runs --sort ic",
        )
    found = [find_run(data, name).folder for name in names]
    twice = next((name for name, folder in zip(names, found, strict=True) if found.count(folder) > 1), None)
    if twice:
        raise StageError(Reason.INVALID_SPEC, f'"{twice}" is named twice; name different runs')
    return found


def document(runs: Sequence[Compared]) -> dict[str, object]:
    """Return what the JSON output says of the runs."""
    from qlib_shadow_runner.report.comparison import (  # noqa: PLC0415
        against_the_first,
        cautions,
        differences,
        rows,
    )

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
            {
                "name": found.name,
                "parameter": found.is_parameter,
                "values": dict(zip(ids, found.values, strict=True)),
            }
            for found in differences(runs)
        ],
        "againstTheFirst": [
            {
                "run": found.run_id,
                "ic": None if found.ic is None else asdict(found.ic),
                "dailyReturn": None if found.returns is None else asdict(found.returns),
            }
            for found in against_the_first(runs)
        ],
        "cautions": cautions(runs),
    }


def _print_tables(runs: Sequence[Compared]) -> None:
    from qlib_shadow_runner.report.comparison import against_the_first, cautions, differences  # noqa: PLC0415

    print_rich(
        *(f"{number}  {run.run_id}" for number, run in enumerate(runs, start=1)),
        *_differences(differences(runs)),
        _figures(runs) if len(runs) <= SIDE_BY_SIDE else _figures_by_run(runs),
        *_paired(against_the_first(runs)),
        *(f"note: {caution}" for caution in cautions(runs)),
    )


def _differences(found: Sequence[Difference]) -> Iterator[str]:
    """Yield each setting that differs, with each of its values and the numbers of the runs that have it."""
    if not found:
        yield from ("", "nothing differs: the same spec, the same data and the same code")
    for title, wanted in (("parameters that differ", True), ("data and code that differ", False)):
        several = [one for one in found if one.is_parameter is wanted]
        if several:
            yield from ("", title)
        for one in several:
            yield f"  {one.name}"
            names = [", ".join(map(str, numbers)) for numbers, _ in one.groups]
            width = max(map(len, names))
            for name, (_, value) in zip(names, one.groups, strict=True):
                yield f"    {name:>{width}}  {value}"


def _paired(found: Sequence[AgainstTheFirst]) -> Iterator[str]:
    """Yield what each run has more than the first, on the days that both have."""
    yield "against 1, on the days of both (with 95% intervals)"
    for one in found:
        for name, difference, scale, form in (
            ("IC", one.ic, 1, "+.4f"),
            ("return a year", one.returns, DAYS_A_YEAR, "+.1%"),
        ):
            yield f"  {one.number}  {name:<13}  {_sentence(difference, scale, form)}"


def _sentence(found: PairedDifference | None, scale: int, form: str) -> str:
    if found is None:
        return "no day in common"
    mean = f"{found.mean * scale:{form}}"
    if found.low is None or found.high is None:
        return f"{mean}  {found.days} days are {found.blocks} independent blocks, too few to judge"
    chance = "beyond chance" if found.is_beyond_chance else "not beyond chance"
    return f"{mean}  [{found.low * scale:{form}}, {found.high * scale:{form}}]  {chance} (p = {found.p:.2f})"


def _figures(runs: Sequence[Compared]) -> Table:
    from qlib_shadow_runner.report.comparison import rows  # noqa: PLC0415

    table = _table(["", *(str(number) for number in range(1, len(runs) + 1))])
    for row in rows(runs):
        table.add_row(rich_cell(row.name), *(_cell(row, number) for number in range(len(runs))))
    return table


def _figures_by_run(runs: Sequence[Compared]) -> Table:
    """Return the main figures with a row for each run, since there are too many for a column each."""
    from qlib_shadow_runner.report.comparison import main_rows  # noqa: PLC0415

    found = main_rows(runs)
    table = _table(["", *(row.name for row in found)])
    for number in range(len(runs)):
        table.add_row(rich_cell(str(number + 1)), *(_cell(row, number) for row in found))
    return table


def _cell(row: ComparedFigure, number: int) -> Text:
    shown = row.show(row.values[number])
    return rich_cell(f"{shown} ★", "bold green") if number in row.best else rich_cell(f"{shown}  ")


def _table(heads: Sequence[str]) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", overflow="fold")
    return table
