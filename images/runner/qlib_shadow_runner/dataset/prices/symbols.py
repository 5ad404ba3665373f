r"""Normalize tickers so that Qlib, file systems and tab-separated lists can hold them.

- Tickers are in capitals, as in Qlib's own data; two that differ only in case would share a folder and
  are refused.
- `/`, `\`, `:` and a space inside become `-` (BRK/B is BRK-B); a leading dot is an index (.SPX is ^SPX).
- NA, NAN and NULL get an underscore at the end, because pandas, which reads Qlib's lists, takes them for
  missing values and Qlib then fails.
- A ticker with any other character is refused. The notes list every change.
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
    """The tickers of all files so far, numbered in the order of their appearance."""

    names: list[str] = field(default_factory=list)
    _by_original: dict[str, int] = field(default_factory=dict)
    _original_of: dict[str, str] = field(default_factory=dict)

    def codes(self, originals: Iterable[object], file: str) -> list[int]:
        """Return the numbers of the tickers of one file."""
        return [self._code(original, file) for original in originals]

    @property
    def renamed(self) -> dict[str, str]:
        """Return the tickers whose names differ from the files in more than case, with their new names."""
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
    """Return the name that a ticker has in the dataset."""
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
        broken(
            file,
            f'has the symbol "{cut(original)}"; a symbol is made of letters, digits and ^ . _ = & + $ -. '
            f"{REMEDY}",
        )
    return name
