"""Convert price files to a dataset: keys first, then one column at a time to save memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.price_files import Adjust
from qlib_shadow_runner.dataset.free_space import BLOCK, require_space
from qlib_shadow_runner.dataset.prices.adjust import Adjustment, change, scaled
from qlib_shadow_runner.dataset.prices.bars import LEAST, MOST, bars_of, check_duplicates
from qlib_shadow_runner.dataset.prices.column_notes import note_columns
from qlib_shadow_runner.dataset.prices.conversion_notes import Notes
from qlib_shadow_runner.dataset.prices.extra_fields import extra_field
from qlib_shadow_runner.dataset.prices.fault_texts import broken, rows
from qlib_shadow_runner.dataset.prices.grid import make_grid
from qlib_shadow_runner.dataset.prices.memberships import spans
from qlib_shadow_runner.dataset.prices.price_rows import read_part
from qlib_shadow_runner.dataset.prices.symbols import Symbols, clean
from qlib_shadow_runner.dataset.prices.unadjusted import check_files, symbols_without
from qlib_shadow_runner.dataset.prices.write_qlib import Writer
from qlib_shadow_runner.dataset.qlib_layout import FLOAT_BYTES
from qlib_shadow_runner.process.memory_limit import require_memory
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from qlib_shadow_runner.contract.spec.price_files import PricesSpec
    from qlib_shadow_runner.dataset.prices.grid import Grid
    from qlib_shadow_runner.dataset.prices.price_rows import PriceRows

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Places = NDArray[np.int64]

INDEX: Final = "^"
SLOT: Final = 28
"""The least bytes of memory for a day of a symbol: three columns, and one of them as it is written."""
FIELDS: Final = 7
"""The least files of a symbol."""
WHERE: Final = "spec.dataset.source.prices"


def ingest(files: Sequence[Path], names: Sequence[str], folder: Path, options: PricesSpec) -> Notes:
    """Write the files' bars into an empty folder and return the notes; messages show `names`."""
    symbols, notes = Symbols(), Notes(files=len(files))
    parts = [read_part(path, name, options, symbols) for path, name in zip(files, names, strict=True)]
    note_columns(parts, options, notes)
    indices = find_indices(symbols.names, options.indices)
    bars = [bars_of(part, indices, symbols.names, options, notes) for part in parts]
    _check_some(parts, bars, indices, notes)
    kept = list(zip(parts, bars, strict=True))
    grid = make_grid([(part.days[mask], part.codes[mask]) for part, mask in kept], len(symbols.names))
    _require_room(grid, folder)
    places = [grid.places(part.days[mask], part.codes[mask]) for part, mask in kept]
    only = parts[0].file if len(parts) == 1 else None
    check_duplicates(places, grid, symbols.names, file=only, options=options, notes=notes)
    columns = _Columns(list(zip(parts, bars, places, strict=True)), grid, indices, symbols.names)
    writer = Writer(folder, grid, symbols.names)
    _write(columns, writer, options, notes)
    _write_others(columns, writer, options)
    notes.renamed = symbols.renamed
    notes.benchmarks = sorted(symbols.names[code] for code in np.flatnonzero(indices & grid.alive))
    notes.without_bars = sorted(symbols.names[code] for code in np.flatnonzero(~grid.alive))
    notes.write(folder)
    return notes


def find_indices(names: Sequence[str], benchmarks: Sequence[str]) -> Mask:
    """Return which symbols are benchmarks and never held: those with ^ in front and those in the spec."""
    indices = np.array([name.startswith(INDEX) for name in names], bool)
    for wanted in benchmarks:
        name = clean(wanted, f"{WHERE}.benchmarks")
        if name not in names:
            refuse(
                f'{WHERE}.benchmarks: no file has "{wanted}"; {did_you_mean(name, names)}',
                Reason.BENCHMARK_NOT_FOUND,
            )
        indices[names.index(name)] = True
    return indices


def _check_some(parts: Sequence[PriceRows], bars: Sequence[Mask], indices: Mask, notes: Notes) -> None:
    notes.rows = sum(len(part.days) for part in parts)
    notes.bars = sum(int(mask.sum()) for mask in bars)
    where = parts[0].file if len(parts) == 1 else f"{parts[0].file}, like the other {len(parts) - 1} files,"
    if not notes.rows:
        broken(where, "has a header and no rows.")
    if not any((mask & ~indices[part.codes]).any() for part, mask in zip(parts, bars, strict=True)):
        broken(
            where,
            f"has no bar of a symbol that can be held: of {rows(notes.rows)}, {notes.without_close} lack a "
            f"close, {notes.suspended} a volume; symbols with {INDEX} in front and benchmarks are not held.",
        )


def _require_room(grid: Grid, folder: Path) -> None:
    """Refuse a dataset that does not fit, before it is made: few rows may span many days of many symbols."""
    what = f"the dataset of {int(grid.alive.sum()):,} symbols over {len(grid.days):,} days"
    require_memory(grid.size * SLOT, what)
    sizes = -(-FLOAT_BYTES * grid.lengths // BLOCK) * BLOCK
    require_space(folder, FIELDS * int(sizes.sum()), what)


class _Columns:
    """The columns of all files, each placed on the grid on demand."""

    def __init__(
        self, parts: Sequence[tuple[PriceRows, Mask, Places]], grid: Grid, indices: Mask, names: Sequence[str]
    ) -> None:
        self.parts, self.grid, self.indices, self.names = parts, grid, indices, names

    def has(self, role: str) -> bool:
        """Return whether any file has the column."""
        return any(role in part.columns for part, _, _ in self.parts)

    def spread(self, role: str) -> Floats:
        """Return a column on the grid; of two rows for one slot the later one is kept."""
        values = np.full(self.grid.size, np.nan)
        for part, mask, places in self.parts:
            values[places] = part.numbers(role)[mask]
        return values


def _write(columns: _Columns, writer: Writer, options: PricesSpec, notes: Notes) -> None:
    grid, close = columns.grid, columns.spread("close")
    adjustment = _adjustment(columns, close, options, notes)
    adjustment.price(close)
    writer.field("close", close)
    writer.field("change", change(grid, close))
    bar = ~np.isnan(close)
    factor = np.ones(grid.size) if adjustment.factor is None else adjustment.factor.copy()
    writer.field("factor", np.where(bar, factor, np.nan))
    del close, factor, bar
    for role in ("open", "high", "low", "vwap"):
        if columns.has(role):
            writer.field(role, adjustment.price(columns.spread(role)))
    writer.field("volume", adjustment.volume(columns.spread("volume")))
    writer.calendar_and_universes(options.universe, columns.indices)


def _write_others(columns: _Columns, writer: Writer, options: PricesSpec) -> None:
    """Write what is no part of a bar: further fields, and universes that change day by day."""
    for name in options.extra:
        writer.field(name, extra_field(name, columns.grid, columns.parts))
    for name in options.memberships:
        writer.universe(name, spans(name, columns.grid, columns.parts, ~columns.indices))


def _adjustment(columns: _Columns, close: Floats, options: PricesSpec, notes: Notes) -> Adjustment:
    given = [role for role in (Adjust.FACTOR, Adjust.ADJ_CLOSE) if columns.has(role)]
    wanted = options.adjust
    if wanted is Adjust.AUTO:
        if len(given) > 1:
            refuse(
                f"{WHERE}: the files have both a factor and an adjusted close; "
                "write adjust: factor, or adjust: adj_close",
                Reason.DATASET_INVALID,
            )
        wanted = given[0] if given else Adjust.AUTO
    elif wanted is not Adjust.NONE and wanted not in given:
        refuse(
            f"{WHERE}.adjust is {wanted}, but no file has such a column. "
            "Name it in columns, or write adjust: auto",
            Reason.DATASET_INVALID,
        )
    notes.adjusted_by = "nothing" if wanted is Adjust.AUTO else wanted
    if wanted is Adjust.NONE:
        return Adjustment(None)
    return scaled(
        columns.grid, close, None if wanted is Adjust.AUTO else _factor(columns, close, wanted, notes)
    )


def _factor(columns: _Columns, close: Floats, by: Adjust, notes: Notes) -> Floats:
    check_files(by, [(part, bars) for part, bars, _ in columns.parts], columns.indices)
    values = columns.spread(by)
    without = symbols_without(values, columns.grid, ~columns.indices)
    notes.unadjusted = sorted(columns.names[code] for code in without)
    if by is Adjust.ADJ_CLOSE:
        values /= close
    wrong = (values < LEAST) | (values > MOST)
    if wrong.any():
        refuse(
            f"{WHERE}: {int(wrong.sum())} bars have {by} at zero, below, or infinite. "
            "Correct them, or write adjust: none",
            Reason.DATASET_INVALID,
        )
    return values
