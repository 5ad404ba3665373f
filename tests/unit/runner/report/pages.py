"""Reading a page as tests do: its tables by their ids, its outline, its links."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

HEADINGS = ("h1", "h2", "h3")


@dataclass
class Page:
    """What a page holds."""

    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    outline: list[str] = field(default_factory=list)
    """Headings and the ids of what stands between them, in order."""
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._rows: list[list[str]] = []
        self._open: list[str] | None = None
        self._taking = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of what begins."""
        name = dict(attrs).get("id") or ""
        if name.startswith(("chart-", "table-")):
            self.page.outline.append(f"  #{name}")
        if tag == "table":
            self._rows = self.page.tables.setdefault(name, [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th", *HEADINGS):
            self._open = []
            self._taking = tag

    def handle_endtag(self, tag: str) -> None:
        """Keep what has ended."""
        if tag != self._taking or self._open is None:
            return
        words = " ".join("".join(self._open).split())
        if tag in HEADINGS:
            self.page.outline.append(f"{tag} {words}")
        else:
            self._rows[-1].append(words)
        self._open = None

    def handle_data(self, data: str) -> None:
        """Take the words."""
        self.page.text += data
        if self._open is not None:
            self._open.append(data)


def read_page(text: str) -> Page:
    """Read a page."""
    reader = _Reader()
    reader.feed(text)
    return reader.page


def number(cell: str) -> float:
    """Read a figure as people write it."""
    plain = cell.replace("\N{MINUS SIGN}", "-").rstrip("%")
    return float(plain) / (100 if cell.endswith("%") else 1)
