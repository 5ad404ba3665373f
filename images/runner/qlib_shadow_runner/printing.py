"""The one module that writes to stdout and stderr: lines, texts, tables, CSV and JSON.

Whatever a value holds, it is shown: it does not steer the terminal, and it adds no line (contract/escapes).
"""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.escapes import in_json, in_lines, in_one_line
from qlib_shadow_runner.contract.strict_json import finite

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import TextIO

    from rich.table import Table
    from rich.text import Text

NOTHING: Final = "-"
"""What a table shows where there is no value."""


def print_line(line: str) -> None:
    """Print one line at once."""
    _write(sys.stdout, in_one_line(line) + "\n")
    sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; a line break inside of one is an escape."""
    _write(sys.stdout, "".join(f"{in_one_line(line)}\n" for line in lines))


def print_text(text: str) -> None:
    """Print a text that has lines of its own, such as a workflow or a script."""
    _write(sys.stdout, in_lines(text.replace("\r\n", "\n")))


def print_error(line: str) -> None:
    """Print one line to stderr."""
    _write(sys.stderr, in_one_line(line) + "\n")


def print_error_text(text: str) -> None:
    """Print a text that has lines of its own, such as a traceback, to stderr."""
    _write(sys.stderr, in_lines(text))


def print_json(document: object) -> None:
    """Print one JSON document; YAML's dates become strings, and what is no number in JSON becomes null."""
    try:
        text = _json(document)
    except ValueError:
        text = _json(finite(document))
    _write(sys.stdout, in_json(text) + "\n")


def print_table(rows: Sequence[Sequence[str]], align_right: Collection[int] = ()) -> None:
    """Print rows in aligned columns; some of the columns may be aligned to the right."""
    shown = [[in_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    print_lines("  ".join(_aligned(row, widths, align_right)).rstrip() for row in shown)


def print_csv(rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as CSV, in which a cell with line breaks is in quotation marks."""
    writer = csv.writer(_Stdout(), lineterminator="\n")
    for row in rows:
        writer.writerow([in_lines(cell) if isinstance(cell, str) else cell for cell in row])


def print_rich(*parts: str | Table) -> None:
    """Print lines, and tables whose cells are of `rich_cell`, in colour on a terminal."""
    from rich.console import Console  # noqa: PLC0415 - few commands need it

    console = Console(highlight=False, emoji=False, markup=False)
    for part in parts:
        console.print(in_one_line(part) if isinstance(part, str) else part, soft_wrap=isinstance(part, str))


def rich_cell(text: str, style: str = "") -> Text:
    """Return the text of a cell for `print_rich`."""
    from rich.text import Text  # noqa: PLC0415 - as above

    return Text(in_one_line(text), style)


def _aligned(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> Iterator[str]:
    for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield f"{cell:{'>' if place in right else '<'}{width}}"


class _Stdout:
    """A file for the writer of CSV."""

    def write(self, text: str) -> None:
        _write(sys.stdout, text)


def _write(stream: TextIO, text: str) -> None:
    """Write a text; a letter that the terminal's encoding does not have becomes an escape too."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str)
