"""What qrun may be given: no template marks, no unknown section, no foreign module.

qrun renders its file with Jinja from the environment, takes `sys.path` from it, and imports any
module that it names. A template is code, then; this is the gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import yaml

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARKS: Final = ("{{", "{%", "{#")
TOP_LEVEL: Final = frozenset({"qlib_init", "task"})
QLIB_INIT: Final = frozenset({"provider_uri", "region", "kernels"})
TASK: Final = frozenset({"model", "dataset", "record"})
CLASSES: Final = frozenset(
    {
        ("qlib.contrib.model.gbdt", "LGBModel"),
        ("qlib_shadow_runner.model", "LGBModel"),
        ("qlib.data.dataset", "DatasetH"),
        ("qlib.contrib.data.handler", "Alpha158"),
        ("qlib.workflow.record_temp", "SignalRecord"),
        ("qlib.workflow.record_temp", "SigAnaRecord"),
        ("qlib.workflow.record_temp", "PortAnaRecord"),
        ("qlib.contrib.strategy", "TopkDropoutStrategy"),
    }
)
"""Every class that a workflow may name; none of them can reach a broker."""
SPELLINGS: Final = frozenset({"class", "module_path", "func"})


def vet(rendered: str) -> dict[str, object]:
    """Parse a rendered workflow, or refuse it."""
    for mark in MARKS:
        if mark in rendered:
            _refuse(f'the rendered workflow still holds "{mark}", which qrun would render once more')
    try:
        document = yaml.safe_load(rendered)
    except yaml.YAMLError as error:
        _refuse(f"the rendered workflow is not YAML: {error}")
    if not isinstance(document, dict):
        _refuse("the rendered workflow is not a mapping")
    _check_keys(document, TOP_LEVEL, "the top level")
    _check_keys(document.get("qlib_init"), QLIB_INIT, "qlib_init")
    _check_keys(document.get("task"), TASK, "task")
    for where, node in _mappings(document, "workflow"):
        _check_class(node, where)
    return document


def _check_keys(node: object, allowed: frozenset[str], where: str) -> None:
    if not isinstance(node, dict):
        _refuse(f"{where} of the workflow is not a mapping")
    for key in node:
        if key not in allowed:
            _refuse(f'{where} of the workflow has "{key}"; allowed are {", ".join(sorted(allowed))}')


def _check_class(node: Mapping[object, object], where: str) -> None:
    if not SPELLINGS & {str(key) for key in node}:
        return
    named = (node.get("module_path"), node.get("class"))
    if "func" in node or named not in CLASSES:
        _refuse(
            f"{where} names {named[0]}.{named[1]}, which is not among the classes that a shadow run may use"
        )


def _mappings(node: object, where: str) -> Iterator[tuple[str, Mapping[object, object]]]:
    if isinstance(node, dict):
        yield where, node
        for key, value in node.items():
            yield from _mappings(value, f"{where}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _mappings(value, f"{where}[{number}]")


def _refuse(message: str) -> NoReturn:
    raise StageError(Reason.INVALID_WORKFLOW, f"{message}. Nothing was run.")
