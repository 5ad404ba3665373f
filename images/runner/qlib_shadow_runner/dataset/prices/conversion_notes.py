"""The record of what the conversion did to the rows.

It is ingestion.json beside calendars, features and instruments, and not part of the dataset.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.prices.fault_texts import listed
from qlib_shadow_runner.storage.files import read_json_object, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE: Final = "ingestion.json"
EXAMPLES: Final = 5
SHOWN: Final = 10


@dataclass
class Count:
    """The number of occurrences with the first few examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, count: int, examples: Sequence[str]) -> None:
        """Add occurrences."""
        self.count += count
        self.examples = [*self.examples, *examples][:EXAMPLES]


@dataclass
class Notes:
    """The counts and lists of one conversion."""

    files: int = 0
    rows: int = 0
    bars: int = 0
    adjusted_by: str = ""
    benchmarks: list[str] = field(default_factory=list)
    suspended: int = 0
    """Rows without volume, which are not bars, as in Qlib's own collector."""
    without_close: int = 0
    duplicates: Count = field(default_factory=Count)
    rejected: Count = field(default_factory=Count)
    renamed: dict[str, str] = field(default_factory=dict)
    without_bars: list[str] = field(default_factory=list)
    """Symbols without any bar."""
    unadjusted: list[str] = field(default_factory=list)
    """Symbols without any value of the adjustment that the files have."""
    unused_columns: list[str] = field(default_factory=list)
    files_without: dict[str, list[str]] = field(default_factory=dict)
    """The files that lack a column which becomes a field or a universe, by the name in the spec."""

    def write(self, folder: Path) -> None:
        """Write the notes beside the data."""
        write_json(folder / FILE, {**asdict(self), "sentences": self.sentences})

    @property
    def sentences(self) -> list[str]:
        """Return sentences about symbols and rows that differ from the files."""
        lines = {
            "symbols renamed from the files": [f"{old} is {new}" for old, new in self.renamed.items()],
            "symbols left out because they have no bar": self.without_bars,
            "columns that are not used, unless columns.extra names them": self.unused_columns,
            **{f"files without the column {name}": files for name, files in self.files_without.items()},
        }
        sentences = [
            f"{what} ({len(names):,}): {listed(names[:SHOWN], len(names))}"
            for what, names in lines.items()
            if names
        ]
        rows = {"volume": self.suspended, "close": self.without_close}
        without = [f"no {what} ({count:,})" for what, count in rows.items() if count]
        return (
            [*sentences, f"rows left out because they have {' or '.join(without)}"] if without else sentences
        )

    @classmethod
    def read_sentences(cls, folder: Path) -> list[str]:
        """Return the sentences in the notes beside the data; empty where there are no notes."""
        document = read_json_object(folder / FILE) or {}
        recorded = document.get("sentences")
        return [str(sentence) for sentence in recorded] if isinstance(recorded, list) else []

    @classmethod
    def read_adjustment(cls, folder: Path) -> tuple[str, frozenset[str]]:
        """Return what prices were adjusted by, and the symbols without a value of it; empty without notes."""
        document = read_json_object(folder / FILE) or {}
        unadjusted = document.get("unadjusted")
        names = unadjusted if isinstance(unadjusted, list) else []
        return str(document.get("adjusted_by", "")), frozenset(map(str, names))

    @classmethod
    def read_counts(cls, folder: Path) -> dict[str, Count] | None:
        """Return the counts of duplicate and rejected rows; None where there are no notes."""
        document = read_json_object(folder / FILE)
        if document is None:
            return None
        counts = {}
        for name in ("duplicates", "rejected"):
            raw = document.get(name)
            if isinstance(raw, dict):
                count, examples = raw.get("count"), raw.get("examples")
                counts[name] = Count(
                    count if isinstance(count, int) else 0,
                    list(map(str, examples)) if isinstance(examples, list) else [],
                )
        return counts
