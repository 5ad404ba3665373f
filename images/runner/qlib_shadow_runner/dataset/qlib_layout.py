"""Read a dataset in Qlib's binary layout with the standard library.

calendars/day.txt               one ISO date a line
instruments/<universe>.txt      SYMBOL<TAB>first day<TAB>last day
features/<symbol in lower case>/<field>.day.bin   little-endian float32: start index, one value a day
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import FIRST_DAY, LAST_DAY
from qlib_shadow_runner.errors import DamagedFileError, StageError
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import PRICES, names_in, open_file, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PARTS: Final = ("calendars", "features", "instruments")
"""The folders that make up a dataset; other files beside them are not part of it."""
CALENDAR: Final = "calendars/day.txt"
FLOAT_BYTES: Final = 4
BIN_SUFFIX: Final = ".day.bin"
ALL: Final = "all"
DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
"""The names of devices on Windows; Qlib adds a prefix to their folders."""


@dataclass(frozen=True)
class ListedSpan:
    """The period in which a universe lists an instrument."""

    symbol: str
    first: date
    last: date


@dataclass(frozen=True)
class BinSpan:
    """The days of the calendar that a bin file covers."""

    start: int
    count: int

    @property
    def end(self) -> int:
        """Return the index after the last day."""
        return self.start + self.count


@dataclass(frozen=True)
class Dataset:
    """A dataset's folder and the parts of it that are cheap to read."""

    folder: Path

    @cached_property
    def calendar(self) -> tuple[date, ...]:
        """Return the trading days."""
        return tuple(_days(self.folder, CALENDAR))

    @cached_property
    def universes(self) -> Mapping[str, tuple[ListedSpan, ...]]:
        """Return every universe by name."""
        try:
            names = names_in(self.folder, "instruments")
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except DamagedFileError as error:
            raise invalid(self.folder / "instruments", f"{error.fault}.") from error
        found = [name for name in names if name.endswith(".txt") and not name.startswith(".")]
        return {
            name.removesuffix(".txt"): tuple(_spans(self.folder, f"instruments/{name}")) for name in found
        }

    @cached_property
    def symbols(self) -> Mapping[str, str]:
        """Return every listed symbol by its lower-case name, preferably as `all` spells it."""
        names: dict[str, str] = {}
        for universe in sorted(self.universes, key=lambda name: (name != ALL, name)):
            for span in self.universes[universe]:
                names.setdefault(span.symbol.lower(), span.symbol)
        return names

    def bin_span(self, symbol: str, field: str = "close") -> BinSpan | None:
        """Return the days that a symbol's field covers, or None where there is no such file."""
        name = f"features/{feature_folder(symbol)}/{field}{BIN_SUFFIX}"
        try:
            with open_file(self.folder, name, PRICES) as stream:
                head = stream.read(FLOAT_BYTES)
                size = stream.seek(0, 2)
            return BinSpan(int(struct.unpack("<f", head)[0]), size // FLOAT_BYTES - 1)
        except (OSError, UnsafeNameError, struct.error, ValueError, OverflowError):  # an infinite start
            return None


def feature_folder(symbol: str) -> str:
    """Return the name of a symbol's folder, as Qlib's `code_to_fname` gives it, in lower case."""
    lower = symbol.lower()
    return f"_qlib_{lower}" if lower in DEVICES else lower


def looks_like_dataset(folder: Path) -> bool:
    """Return whether a folder seems to be a dataset."""
    return (folder / CALENDAR).is_file() or all((folder / part).is_dir() for part in PARTS)


def invalid(path: Path, message: str) -> StageError:
    """Return the error that a file of a dataset is invalid."""
    return StageError(Reason.DATASET_INVALID, f"{path} {message}")


def _lines(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    path = folder / name
    try:
        content = read_text(folder, name)
    except (FileNotFoundError, NotADirectoryError):
        raise invalid(
            path, "is missing. A dataset needs calendars/day.txt, features/ and instruments/*.txt."
        ) from None
    except (DamagedFileError, UnsafeNameError) as error:
        raise invalid(path, f"{error.fault if isinstance(error, DamagedFileError) else error}.") from None
    return ((number, line.rstrip()) for number, line in enumerate(content.splitlines(), 1) if line.strip())


def _days(folder: Path, name: str) -> Iterator[date]:
    path = folder / name
    for number, line in _lines(folder, name):
        try:
            day = date.fromisoformat(line.strip()[:10])
        except ValueError:
            raise invalid(path, f'line {number} is "{line[:40]}", not a date.') from None
        if not FIRST_DAY <= day <= LAST_DAY:
            raise invalid(path, f"line {number} is {day}; days lie from {FIRST_DAY} to {LAST_DAY}.")
        yield day


def _spans(folder: Path, name: str) -> Iterator[ListedSpan]:
    path = folder / name
    for number, line in _lines(folder, name):
        columns = line.split("\t")
        try:
            symbol, first, last = columns
            span = ListedSpan(symbol, date.fromisoformat(first[:10]), date.fromisoformat(last[:10]))
        except ValueError:
            shown = line[:60]
            raise invalid(
                path, f'line {number} is "{shown}", not SYMBOL, first day, last day with tabs.'
            ) from None
        if not symbol or span.first > span.last:
            raise invalid(path, f"line {number}: {symbol} ends on {last}, before it begins on {first}.")
        yield span
