"""Show the progress of a stage: one line that is redrawn on a terminal, plain lines elsewhere.

The steps are recognised in what the stage prints; a stage reports nothing else.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.escapes import in_one_line
from qlib_shadow_runner.contract.stages import STAGES, Access
from qlib_shadow_runner.printing import print_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rich.text import Text

STEPS: Final[Mapping[Stage, Sequence[tuple[str, ...]]]] = {
    Stage.QRUN: (
        ("features", "qlib successfully initialized"),
        ("train", "Training until validation scores"),
        # Qlib logs the creation of its own exchange, which comes before it reads quotes, but of no other.
        ("backtest", "Create new exchange", "backtest loop"),
        ("export", "exporting signals"),
        ("report", "making the report"),
    ),
}
"""The steps of each stage, each with the texts of which one is printed when it begins."""
MOVING: Final = ("download ", "unpack ", "running: ", "waiting for ", "another run ")
"""How the lines begin that say how far a download is; see dataset/archive/progress."""
REMARKS: Final = ("warning: ", "note: ")
"""How the lines begin that are always shown."""
NAME_WIDTH: Final = 10


def remark(line: str) -> str | None:
    """Return the line if it is always shown."""
    return line.rstrip() if line.startswith(REMARKS) else None


@dataclass
class StageProgress:
    """How far a stage is."""

    stage: Stage
    begun: int = 0
    started: float = field(default_factory=time.monotonic)

    def read(self, line: str) -> str | None:
        """Read one line of the stage's output; return the step that begins with it, if any."""
        steps = STEPS.get(self.stage, ())
        for number in range(self.begun, len(steps)):
            name, *marks = steps[number]
            if any(mark in line for mark in marks):
                self.begun = number + 1
                return name
        return None

    def moving(self, line: str) -> str | None:
        """Return the line if it says how far a download is."""
        moves = STAGES[self.stage].dataset is Access.WRITTEN and line.startswith(MOVING)
        return line.rstrip() if moves else None

    @property
    def seconds(self) -> float:
        """Return the seconds since the stage started."""
        return time.monotonic() - self.started


class Display(Protocol):
    """Where progress is shown."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def line(self, text: str) -> None:
        """Show what one line of the stage's output says."""

    def close(self, message: str, *, failed: bool) -> None:
        """Show how the stage ended."""


class SilentDisplay:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def line(self, text: str) -> None:
        """Show nothing."""

    def close(self, message: str, *, failed: bool) -> None:
        """Show nothing."""


class PlainDisplay(SilentDisplay):
    """Prints one line when a step begins, and one at the end: for logs and pipes."""

    def __init__(self, stage: Stage) -> None:
        self._progress = StageProgress(stage)

    def line(self, text: str) -> None:
        """Print the step that begins, how far a download is, and remarks."""
        step = self._progress.read(text)
        shown = f"{step} …" if step else self._progress.moving(text) or remark(text)
        if shown:
            self._print(shown)

    def close(self, message: str, *, failed: bool) -> None:
        """Print the end."""
        self._print(f"{'failed' if failed else f'done: {message}'}  {self._progress.seconds:.1f} s")

    def _print(self, text: str) -> None:
        print_line(f"  {self._progress.stage:<{NAME_WIDTH}} {text}")


class LiveDisplay:
    """One line that is redrawn while the stage runs."""

    def __init__(self, stage: Stage) -> None:
        from rich.live import Live  # noqa: PLC0415 - only for a terminal

        self._progress = StageProgress(stage)
        self._end: str | None = None
        self._moving = "…"
        self._failed = False
        self._live = Live(get_renderable=self._draw, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def line(self, text: str) -> None:
        """Redraw when a step begins; print remarks above the line."""
        self._progress.read(text)
        self._moving = self._progress.moving(text) or self._moving
        if (shown := remark(text)) is not None:
            name = f"  {self._progress.stage:<{NAME_WIDTH}} "
            self._live.console.print(in_one_line(name + shown), markup=False, highlight=False)

    def close(self, message: str, *, failed: bool) -> None:
        """Draw the last state."""
        self._end, self._failed = message, failed
        self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Text:
        from rich.text import Text  # noqa: PLC0415

        text = Text(f"  {self._progress.stage:<{NAME_WIDTH}} ", no_wrap=True, overflow="ellipsis")
        steps = STEPS.get(self._progress.stage, ())
        for number, (name, _) in enumerate(steps, 1):
            running = number == self._progress.begun and self._end is None
            reached = number <= self._progress.begun
            text.append(name, "bold" if running else "" if reached else "dim")
            text.append(" ━━━━ " if reached and not running else " ╸··· ", "green" if reached else "dim")
        if self._failed:
            text.append("failed", "red")
        elif not steps:
            text.append(in_one_line(self._end or self._moving))
        text.append(f"  {self._progress.seconds:.1f} s", "dim")
        return text


def display_for(stage: Stage, *, quiet: bool) -> Display:
    """Return the display that fits where the output goes."""
    if quiet:
        return SilentDisplay()
    return LiveDisplay(stage) if sys.stdout.isatty() else PlainDisplay(stage)
