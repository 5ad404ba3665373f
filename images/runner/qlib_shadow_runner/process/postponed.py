"""Imports that are put off: a module that Qlib imports is loaded when something in it is called.

A name of a postponed module stands for a function or a class that is looked up when it is called. So a module
whose names are only called, or only written in annotations, can be postponed; one whose classes are derived
from cannot.
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def postpone(names: frozenset[str]) -> None:
    """Postpone the import of these modules, and of the modules in them, that are not imported yet."""
    sys.meta_path.insert(0, _Finder(names))


class _Finder(MetaPathFinder):
    """Finds a placeholder for each postponed module."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return the placeholder's spec; None leaves the name to the other finders."""
        if not any(fullname == name or fullname.startswith(f"{name}.") for name in self._names):
            return None
        return ModuleSpec(fullname, _Placeholders(self), is_package=True)

    def load(self, module: str, name: str) -> Any:
        """Return what a module has under a name, and postpone none of its package any longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            for known in [known for known, found in sys.modules.items() if isinstance(found, _Placeholder)]:
                del sys.modules[known]
        return getattr(importlib.import_module(module), name)


class _Placeholders(Loader):
    def __init__(self, finder: _Finder) -> None:
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Placeholder(spec.name, self._finder)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is not loaded yet."""


class _Placeholder(ModuleType):
    def __init__(self, name: str, finder: _Finder) -> None:
        super().__init__(name)
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Postponed(self._finder, self.__name__, name)


class _Postponed:
    """A function or a class of a postponed module."""

    def __init__(self, finder: _Finder, module: str, name: str) -> None:
        self._finder, self._module, self._name = finder, module, name

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._finder.load(self._module, self._name)(*given, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._finder.load(self._module, self._name), name)

    def __or__(self, _other: object) -> Any:
        return Any  # in an annotation

    __ror__ = __or__

    def __mro_entries__(self, _bases: Sequence[object]) -> tuple[type, ...]:
        message = f"{self._module}.{self._name} is postponed, and no class can be derived from it"
        raise TypeError(message)
