r"""Tickers that Qlib, a file system and a tab-separated list can all live with.

- Written in capitals, as Qlib's own data is; two tickers that differ in case alone would share a
  folder, so they are refused.
- `/`, `\`, `:` and a space inside become `-` (BRK/B is BRK-B); a leading dot is an index (.SPX is ^SPX).
- NA, NAN and NULL get an underscore at the end: pandas, which reads Qlib's lists, takes them for
  "nothing" and Qlib fails on it.
- What is then still foreign is refused. Every change is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 40
ALLOWED: Final = re.compile(r"[A-Z0-9^_$][A-Z0-9^._=&+$-]*", re.ASCII)
SEPARATORS: Final = re.compile(r"[/\\: ]+")
READ_AS_MISSING: Final = frozenset({"NA", "NAN", "NULL"})
REMEDY: Final = "Rename it in the file."


@dataclass
class Symbols:
    """The tickers of all files so far, by number, in the order of their appearance."""

    names: list[str] = field(default_factory=list)
    _by_original: dict[str, int] = field(default_factory=dict)
    _original_of: dict[str, str] = field(default_factory=dict)

    def codes(self, originals: Iterable[object], file: str) -> list[int]:
        """Give the numbers of the tickers of one file."""
        return [self._code(original, file) for original in originals]

    @property
    def renamed(self) -> dict[str, str]:
        """Tell which tickers are called otherwise than in the files; capitals alone go without saying."""
        return {old: new for new, old in self._original_of.items() if old.upper() != new}

    def _code(self, value: object, file: str) -> int:
        original = str(value).strip()
        if original not in self._by_original:
            name = clean(original, file)
            if name in self._original_of:
                other = self._original_of[name]
                broken(
                    file,
                    f'has the symbols "{cut(other)}" and "{cut(original)}", which would both be {name}: Qlib '
                    "ignores case in its folders. Write one symbol in one way.",
                )
            self._original_of[name] = original
            self._by_original[original] = len(self.names)
            self.names.append(name)
        return self._by_original[original]


def clean(original: str, file: str) -> str:
    """Give the name that a ticker has in the dataset."""
    if not original:
        broken(file, "has a row without a symbol. Every row needs one.")
    name = SEPARATORS.sub("-", original.upper())
    if name.startswith(".") and name.strip("."):
        name = "^" + name[1:]
    if name in READ_AS_MISSING:
        name += "_"
    if len(name) > LONGEST:
        broken(
            file, f'has the symbol "{cut(original)}" of {len(name)} letters; {LONGEST} is the most. {REMEDY}'
        )
    if ".." in name or not ALLOWED.fullmatch(name):
        shown = cut(original).encode("unicode_escape").decode()
        broken(
            file,
            f'has the symbol "{shown}"; a symbol is made of letters, digits and ^ . _ = & + $ -. {REMEDY}',
        )
    return name
