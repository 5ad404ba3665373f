"""Count findings over a finished dataset, one symbol at a time, from bytes that verification has read."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.dataset.fingerprint import content_of, dataset_files
from qlib_shadow_runner.dataset.prices.conversion_notes import Notes
from qlib_shadow_runner.dataset.qlib_layout import ALL, BIN_SUFFIX, FLOAT_BYTES, Dataset, feature_folder
from qlib_shadow_runner.dataset.quality.checks import EXAMPLES, PLACES, Finding, Place
from qlib_shadow_runner.dataset.quality.splits import DELIVERED, SplitJumps
from qlib_shadow_runner.dataset.quality.values import missing_values
from qlib_shadow_runner.dataset.quality.weekends import weekend_days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from qlib_shadow_runner.dataset.quality.values import Fields, Floats

COUNTED: Final = (
    "calendar_order",
    "bin_bounds",
    "invalid_prices",
    "no_prices",
    "weekend_days",
    "missing_days",
    "missing_values",
    "high_low",
    "split_jumps",
    "partial_end",
)
"""The checks for every dataset; the others need the notes of a conversion, or today's date."""
PRICES: Final = ("open", "high", "low", "close", "vwap")
MISSING_SHARE: Final = 0.05
SHORTEST_LIFE: Final = 20
"""The fewest days of an instrument that is checked; of fewer, one missing day is a large share."""
TOLERANCE: Final = 1e-4
"""The relative difference of prices that rounding can explain."""
WEEK: Final = 5
PARTIAL_SHARE: Final = 0.1
TOGETHER_SHARE: Final = 0.5
FEWEST_TOGETHER: Final = 2


class Survey:
    """Counts over files in sorted order, in which a symbol's fields follow one another."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._days = len(dataset.calendar)
        self._spelling = {feature_folder(symbol): symbol for symbol in dataset.symbols.values()}
        self._symbol = ""
        self._fields: dict[str, tuple[int, Floats]] = {}
        self._found = {check: Finding(check, 0) for check in COUNTED}
        self._lives: list[tuple[int, int, str]] = []
        """The first and the last day with a close, and the name, of each instrument."""
        self._without_close = set(self._spelling)
        self._adjusted_by, self._unadjusted = Notes.read_adjustment(dataset.folder)
        self._splits = SplitJumps()
        self._held = _held(dataset)
        self._check_calendar()

    def add(self, name: str, content: bytes) -> None:
        """Count over one file, given by its path inside the dataset."""
        part, _, rest = name.partition("/")
        home, _, file = rest.partition("/")
        if part != "features" or not file.endswith(BIN_SUFFIX):
            return
        if home != self._symbol:
            self._finish_symbol()
            self._symbol = home
        field = file.removesuffix(BIN_SUFFIX)
        values = np.frombuffer(content[: len(content) // FLOAT_BYTES * FLOAT_BYTES], "<f4")
        if self._fits(values, len(content)):
            self._fields[field] = (int(values[0]), values[1:])
        else:
            self._count("bin_bounds", [name], [Place(self._name)])

    def findings(self) -> list[Finding]:
        """Return all findings; call it after the last file."""
        self._finish_symbol()
        without = sorted(self._spelling[home] for home in self._without_close)
        self._count("no_prices", without, [Place(name) for name in without])
        self._check_ends()
        for name, start, jumps in self._splits.found(self._adjusted_by, self._unadjusted):
            self._count_days("split_jumps", jumps, start, name=name)
        self._read_notes()
        return list(self._found.values())

    def _fits(self, values: Floats, size: int) -> bool:
        whole = size % FLOAT_BYTES == 0 and len(values) > 1 and bool(np.isfinite(values[0]))
        return (
            whole
            and values[0] >= 0
            and values[0] == np.floor(values[0])
            and values[0] + len(values) - 1 <= self._days
        )

    def _check_calendar(self) -> None:
        days = self._dataset.calendar
        wrong = [str(after) for before, after in pairwise(days) if after <= before]
        self._count("calendar_order", wrong, [Place(day=day) for day in wrong])
        weekend = [f"{day} ({day:%A})" for day in weekend_days(days)]
        self._count("weekend_days", weekend, [Place(day=text[:10]) for text in weekend])

    def _finish_symbol(self) -> None:
        fields, self._fields = self._fields, {}
        if not fields:
            return
        with np.errstate(all="ignore"):  # a comparison with NaN is false, which is intended
            self._check_prices(fields)
            self._check_range(fields)
            if "close" in fields:
                self._without_close.discard(self._symbol)
                self._check_gaps(*fields["close"])
                self._check_values(fields)
                self._splits.add(self._name, fields)

    def _check_prices(self, fields: Fields) -> None:
        for field, (start, values) in fields.items():
            wrong = np.isinf(values)
            if field in PRICES:
                wrong |= values <= 0
            self._count_days("invalid_prices", wrong, start, field)

    def _check_range(self, fields: Fields) -> None:
        if (
            not {"high", "low"} <= fields.keys()
            or len({(start, len(values)) for start, values in fields.values()}) > 1
        ):
            return
        start, high = fields["high"]
        low = fields["low"][1]
        others = [fields[field][1] for field in ("open", "close") if field in fields]
        wrong = low > high * (1 + TOLERANCE)
        for other in others:
            wrong |= (other > high * (1 + TOLERANCE)) | (other < low * (1 - TOLERANCE))
        self._count_days("high_low", wrong, start)

    def _check_gaps(self, start: int, close: Floats) -> None:
        here = np.flatnonzero(~np.isnan(close))
        if not len(here):
            return
        life = int(here[-1] - here[0]) + 1
        missing = life - len(here)
        if life >= SHORTEST_LIFE and missing > MISSING_SHARE * life:
            self._count("missing_days", [f"{self._name} lacks {missing} of {life} days"], [Place(self._name)])
        self._lives.append((start + int(here[0]), start + int(here[-1]), self._name))

    def _check_ends(self) -> None:
        """Count instruments that end together: in the last week a tenth of them, at any other time half."""
        ends = np.array([last for _, last, _ in self._lives], int)
        begins = np.array([first for first, _, _ in self._lives], int)
        week = ends >= self._days - 1 - WEEK
        found = week & (ends < self._days - 1)
        if found.sum() <= PARTIAL_SHARE * week.sum():
            found[:] = False
        for end in np.unique(ends[~week]):
            together = (ends > end - WEEK) & (ends <= end)
            alive = (ends > end - WEEK) & (begins <= end)
            if together.sum() >= max(FEWEST_TOGETHER, TOGETHER_SHARE * alive.sum()):
                found |= together
        names = [self._lives[place] for place in np.flatnonzero(found)]
        shown = [f"{name} until {self._dataset.calendar[last]}" for _, last, name in names[:EXAMPLES]]
        self._count("partial_end", shown, [Place(name) for _, _, name in names])

    def _check_values(self, fields: Fields) -> None:
        volume = ["volume"] if self._symbol in self._held else []  # an index has none
        for field, lacking, bars in missing_values(fields, [*PRICES, *volume]):
            shown = f"{self._name} {field} lacks {lacking} of {bars}"
            self._count("missing_values", [shown], [Place(self._name)])

    def _read_notes(self) -> None:
        if self._adjusted_by in DELIVERED:
            names = sorted(self._unadjusted)
            self._count("unadjusted", names, [Place(name) for name in names])
        counts = Notes.read_counts(self._dataset.folder)
        for check, note in (("duplicate_rows", "duplicates"), ("rejected_rows", "rejected")):
            if counts is not None and note in counts:
                found = counts[note]
                self._found[check] = Finding(check, found.count, found.examples[:EXAMPLES])

    @property
    def _name(self) -> str:
        return self._spelling.get(self._symbol, self._symbol)

    def _count_days(
        self, check: str, wrong: NDArray[np.bool_], start: int, what: str = "", name: str = ""
    ) -> None:
        marked = np.flatnonzero(wrong)
        if not len(marked):
            return
        name = name or self._name
        room = max(PLACES - len(self._found[check].places), 0)
        days = [str(self._dataset.calendar[start + int(day)]) for day in marked[:room]]
        examples = [" ".join(filter(None, (name, what, day))) for day in days[:EXAMPLES]]
        self._count(check, examples, [Place(name, day) for day in days], len(marked))

    def _count(self, check: str, examples: Sequence[str], places: Sequence[Place], count: int = -1) -> None:
        """Add occurrences: texts and places of the first ones, and their number if it is larger."""
        before = self._found.get(check, Finding(check, 0))
        self._found[check] = Finding(
            check,
            before.count + (len(places) if count < 0 else count),
            [*before.examples, *examples][:EXAMPLES],
            [*before.places, *places][:PLACES],
        )


def _held(dataset: Dataset) -> frozenset[str]:
    """Return the folders of the symbols that can be held: benchmarks are listed in `all` alone."""
    lists = [spans for name, spans in dataset.universes.items() if name != ALL] or dataset.universes.values()
    symbols = {span.symbol for spans in lists for span in spans}
    return frozenset(feature_folder(symbol) for symbol in symbols if not symbol.startswith("^"))


def survey(folder: Path) -> list[Finding]:
    """Return the findings of a whole dataset; verification counts them while it reads the files."""
    counting = Survey(Dataset(folder))
    for name in dataset_files(folder):
        if name.endswith(BIN_SUFFIX):
            counting.add(name, content_of(folder, name))
    return counting.findings()
