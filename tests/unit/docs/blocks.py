"""The blocks of the pages that people read: what is typed, where, and what is said about it.

A block of commands is fenced as `sh`, or as `console` where what it prints is shown, too. It is run by a
test, unless the line before it says `<!-- not run: why -->`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE: Final = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>\w*)(?: (?P<name>\S+))?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMANDS: Final = ("sh", "console")
CLUSTER: Final = re.compile(r"\b(?:kubectl|helm) ")
MAKE: Final = re.compile(r"^\$? ?make ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    kind: str
    name: str
    text: str
    why_not: str

    @property
    def is_commands(self) -> bool:
        """Whether it is something to type."""
        return self.kind in COMMANDS

    @property
    def wants_a_cluster(self) -> bool:
        """Whether it talks to one."""
        return self.is_commands and bool(CLUSTER.search(self.text))

    @property
    def is_run(self) -> bool:
        """Whether a test runs it."""
        return self.is_commands and not self.why_not

    @property
    def commands(self) -> str:
        """Give what is typed, without what is printed."""
        if self.kind == "sh":
            return self.text
        return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith("$ "))

    def __str__(self) -> str:
        """Say where it is."""
        return f"{self.page}:{self.line}"


def name(page: Path) -> str:
    """Name a page as people do."""
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> list[Block]:
    """List a page's blocks, in order."""
    text = page.read_text()
    return [
        Block(
            name(page),
            text.count("\n", 0, found.start()) + 1,
            *(found[part] or "" for part in ("kind", "name", "text", "why")),
        )
        for found in FENCE.finditer(text)
    ]


def all_blocks() -> list[Block]:
    """List all blocks of all pages."""
    return [block for page in PAGES for block in read(page)]


def write_files(page: Path, folder: Path) -> None:
    """Put the files that a page shows, those with a name, where its commands look for them."""
    for block in read(page):
        if block.name:
            (folder / block.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.name).write_text(block.text)
