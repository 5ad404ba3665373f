"""`python -P -m qlib_shadow_runner.stages.starting PROGRAM ARGUMENTS…`: the real qrun, which waits for less.

Qlib imports cvxpy, whose solvers one strategy calls, and redis, which one of its caches needs: 470 modules of
3,500 that hardly any run uses. They are there all the same: importlib's own LazyLoader loads a module when
something of it is asked for. Standard library only.
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

LATER: Final = ("cvxpy", "redis", "redis_lock")
"""What is loaded when it is used. Whoever imports a name from one of them at once has used it."""


class LaterFinder(MetaPathFinder):
    """Finds what Python's own finder finds, and has it loaded later."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Give the specification of a module whose turn comes later."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def main(arguments: list[str]) -> None:
    """Become the program."""
    sys.meta_path.insert(0, LaterFinder(LATER))
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
