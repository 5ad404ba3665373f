"""What a workflow may name of this package: declared in one table, importable and documented."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
from tests.bench.run import __main__ as bench
from tests.bench.run.workflow import workflow
from tests.unit.runner.workflow.workflow_builders import BUILT_IN, HANDLER, PrepareIt, own

from qlib_shadow_runner import plugins
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.class_paths import (
    INSTEAD_OF,
    ON_ARRAYS,
    PLUGINS,
    QLIBS,
    RETIRED,
    USED_BY_HANDLERS,
    WITH_CHECKPOINTS,
    class_paths,
)
from qlib_shadow_runner.workflow.vetting import CLASSES

ROOT = Path(__file__).parents[4]
PUBLIC = class_paths(ON_ARRAYS, WITH_CHECKPOINTS, USED_BY_HANDLERS)
MODULES = {module for module, _ in PUBLIC}
PAGE = (ROOT / "docs" / "plugins.md").read_text()
WITH_TEMPLATES = [
    *sorted((ROOT / "config").rglob("*.yaml")),
    *sorted((ROOT / "manifests" / "samples").glob("*.yaml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
]


@pytest.mark.parametrize("path", sorted(PUBLIC), ids=".".join)
def test_public_class_is_defined_where_the_table_says(path: tuple[str, str]) -> None:
    """It is importable by its path, and is a class of Qlib with the same name or with a prefix."""
    module, name = path
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    assert found.__module__ == module
    bases = {base.__name__ for base in found.__mro__ if base.__module__.startswith("qlib.")}
    assert name.removeprefix("Qlib") in bases or name in bases


def test_modules_without_underscore_are_the_public_ones() -> None:
    """Every other module of the package is marked as private; a package holds modules alone."""
    found = {
        one.name
        for one in pkgutil.walk_packages(plugins.__path__, f"{PLUGINS}.")
        if "._" not in one.name and not one.ispkg
    }
    assert found == MODULES


def test_allow_list_names_every_public_class_and_no_other() -> None:
    """But for those that handlers use by themselves, in the place of classes of Qlib that are allowed."""
    ours = {path for path in CLASSES if path[0].startswith("qlib_shadow_runner")}
    assert ours == class_paths(ON_ARRAYS, WITH_CHECKPOINTS)
    assert {(QLIBS[module], name) for module, name in class_paths(USED_BY_HANDLERS)} <= CLASSES


def test_retired_paths_cannot_be_imported() -> None:
    """A path is either public or retired."""
    assert not PUBLIC & RETIRED.keys()
    assert set(RETIRED.values()) <= PUBLIC
    for module, _ in RETIRED:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(module)


@pytest.mark.parametrize("file", WITH_TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_templates_samples_and_pages_name_public_classes_alone(file: Path) -> None:
    """Whole paths and modules, except in the pages' tables of retired paths."""
    text = "\n".join(line for line in file.read_text().splitlines() if not _is_retired(line))
    named = set(re.findall(r"qlib_shadow_runner(?:\.\w+)+", text))
    known = {PLUGINS, "qlib_shadow_runner.engine", *MODULES, *map(".".join, PUBLIC)}
    assert named <= known
    for module, names in re.findall(r"`(\w[\w.]*)` \| ((?:`\w+`(?:, )?)+) \| `qlib", text):
        assert {(f"{PLUGINS}.{module}", name) for name in re.findall(r"\w+", names)} <= PUBLIC


def _is_retired(line: str) -> bool:
    return any(line.startswith(f"| `{'.'.join(path)}` |") for path in RETIRED)


def test_page_lists_every_public_class_and_every_retired_path() -> None:
    """A newcomer finds there what the table in the code says."""
    rows = re.findall(r"^\| `([\w.]+)` \| ((?:`\w+`(?:, )?)+) \| `qlib", PAGE, re.MULTILINE)
    listed = {(f"{PLUGINS}.{module}", name) for module, names in rows for name in re.findall(r"\w+", names)}
    assert listed == PUBLIC
    for old, (module, name) in RETIRED.items():
        new = f"{QLIBS.get(module, module)}.{name}"
        assert f"| `{'.'.join(old)}` | `{new}` |\n" in PAGE


def test_benchmark_names_public_classes_alone(tmp_path: Path) -> None:
    """In every way that it runs."""
    options = argparse.Namespace(days=200, boosting=3)
    found: set[tuple[str, str]] = set()
    for way in bench.ways(["published", "threads", "cold", "cached"], 2):
        text = json.dumps(workflow(way, bench.size_of(options, 8), tmp_path))
        pairs = re.findall(r'"class": "(\w+)", "module_path": "(qlib_shadow_runner[\w.]+)"', text)
        found |= {(module, name) for name, module in pairs}
    assert found
    assert found <= class_paths(ON_ARRAYS, WITH_CHECKPOINTS)


PLACES = {
    "LGBModel": (BUILT_IN[BUILT_IN.index("    class: LGBM") : BUILT_IN.index("    kwargs:\n")], "model"),
    "SignalRecord": (
        "    - class: SignalRecord\n      module_path: qlib_shadow_runner.plugins.records\n",
        "record[0]",
    ),
    "PortAnaRecord": (
        "    - class: PortAnaRecord\n      module_path: qlib_shadow_runner.plugins.records\n",
        "record[2]",
    ),
}
"""Where the built-in template names a class, with the place that a sentence gives."""


def retired_sentence(old: str, new: str, where: str) -> str:
    """Return the whole message for a path that is gone."""
    module, _, name = new.rpartition(".")
    return (
        f"workflow.task.{where} names {old}, a path that is gone; "
        f"write class: {name} and module_path: {module} instead. Nothing was run."
    )


def refusal(prepare_it: PrepareIt, before: str, after: str) -> str:
    """Return why the built-in template with a change is refused."""
    with pytest.raises(StageError) as caught:
        prepare_it(template=own((before, after)))
    assert caught.value.reason is Reason.INVALID_WORKFLOW
    return caught.value.message


def block(path: str, before: str) -> str:
    """Return the two lines that name a class, in the form of the lines that they replace."""
    module, _, name = path.rpartition(".")
    start, _, _ = before.partition("class:")
    return f"{start}class: {name}\n{' ' * len(start)}module_path: {module}\n"


NEW = "qlib_shadow_runner.plugins"
OLD = "qlib_shadow_runner"
REFUSED = [
    ("model.LGBModel", "lightgbm.LGBModel", *PLACES["LGBModel"]),
    ("training.records.SignalRecord", "records.SignalRecord", *PLACES["SignalRecord"]),
    ("training.records.PortAnaRecord", "records.PortAnaRecord", *PLACES["PortAnaRecord"]),
    ("training.records.SigAnaRecord", "records.SigAnaRecord", *PLACES["SignalRecord"]),
    ("fast.backtest.records.SigAnaRecord", "backtest.records.SigAnaRecord", *PLACES["SignalRecord"]),
    ("training.handler.Alpha158", "handlers.QlibAlpha158", HANDLER, "dataset.kwargs.handler"),
    ("fast.handler.Alpha158", "handlers.Alpha158", HANDLER, "dataset.kwargs.handler"),
    ("fast.handler.Alpha158vwap", "handlers.Alpha158vwap", HANDLER, "dataset.kwargs.handler"),
    ("fast.handler.Alpha360", "handlers.Alpha360", HANDLER, "dataset.kwargs.handler"),
    ("fast.handler.Alpha360vwap", "handlers.Alpha360vwap", HANDLER, "dataset.kwargs.handler"),
    ("fast.handler.DataHandlerLP", "handlers.DataHandlerLP", HANDLER, "dataset.kwargs.handler"),
]
BACKTEST = [
    ("strategy.TopkDropoutStrategy", "record[2].kwargs.config.strategy"),
    ("executor.SimulatorExecutor", "record[2].kwargs.config.executor"),
    ("exchange.Exchange", "record[2].kwargs.config.backtest.exchange_kwargs.exchange"),
]


@pytest.mark.parametrize(("old", "new", "before", "where"), REFUSED, ids=[one[0] for one in REFUSED])
def test_retired_path_is_refused_with_the_new_one(
    prepare_it: PrepareIt, old: str, new: str, before: str, where: str
) -> None:
    """Before anything runs, in one sentence with the place and the lines to write."""
    message = refusal(prepare_it, before, block(f"{OLD}.{old}", before))
    assert message == retired_sentence(f"{OLD}.{old}", f"{NEW}.{new}", where)


@pytest.mark.parametrize(("path", "where"), BACKTEST, ids=[one[0] for one in BACKTEST])
def test_retired_backtest_path_is_refused_with_the_new_one(
    prepare_it: PrepareIt, path: str, where: str
) -> None:
    """The strategy, the executor and the exchange."""
    module = path.partition(".")[0]
    before = re.findall(rf".*{NEW}\.backtest\.{module}\b.*\n", BUILT_IN)[0]
    after = f"{before.split('module_path:')[0]}module_path: {OLD}.fast.backtest.{module}\n"
    message = refusal(prepare_it, before, after)
    assert message == retired_sentence(f"{OLD}.fast.backtest.{path}", f"{NEW}.backtest.{path}", where)


@pytest.mark.parametrize(("old", "new"), INSTEAD_OF.items(), ids=".".join)
def test_class_of_qlib_in_whose_place_ours_is_taken_is_refused_with_ours(
    prepare_it: PrepareIt, old: tuple[str, str], new: tuple[str, str]
) -> None:
    """What a workflow for plain qrun names, with the lines to write."""
    place = "LGBModel" if old[1].endswith("Model") else "SignalRecord"
    before, where = PLACES[place]
    assert refusal(prepare_it, before, block(".".join(old), before)) == (
        f"workflow.task.{where} names {'.'.join(old)}, in whose place a shadow run takes a class of its own; "
        f"write class: {new[1]} and module_path: {new[0]}. Nothing was run."
    )
    assert new in PUBLIC
    assert old not in CLASSES


INSIDE = [
    ("fast.processors", "a path that is gone"),
    ("plugins.processors", "which a workflow does not name"),
]
PROCESSORS = "          instruments: {{ instruments | tojson }}\n"


@pytest.mark.parametrize("name", ["CSZScoreNorm", "ProcessInf"])
@pytest.mark.parametrize(("module", "why"), INSIDE)
def test_processor_of_ours_is_refused_with_qlibs(
    prepare_it: PrepareIt, module: str, why: str, name: str
) -> None:
    """The handlers on arrays replace Qlib's by themselves."""
    step = f"          infer_processors: [{{class: {name}, module_path: {OLD}.{module}}}]\n"
    assert refusal(prepare_it, PROCESSORS, PROCESSORS + step) == (
        "workflow.task.dataset.kwargs.handler.kwargs.infer_processors[0] names "
        f"{OLD}.{module}.{name}, {why}; "
        f"write class: {name} and module_path: qlib.data.dataset.processor, which the handlers of "
        f"{NEW}.handlers replace by {NEW}.processors.{name}. Nothing was run."
    )


LOADER = """\
        class: DataHandlerLP
        module_path: qlib_shadow_runner.plugins.handlers
        kwargs:
          data_loader: {class: QlibDataLoader, module_path: qlib_shadow_runner.PACKAGE.loader}
"""
FIT_TIMES = """\
          fit_start_time: {{ segments.train[0] }}
          fit_end_time: {{ segments.train[1] }}
"""


@pytest.mark.parametrize(("package", "why"), [(one.partition(".")[0], why) for one, why in INSIDE])
def test_loader_of_ours_is_refused_with_qlibs(prepare_it: PrepareIt, package: str, why: str) -> None:
    """The handlers on arrays replace Qlib's by themselves."""
    before = BUILT_IN[BUILT_IN.index(HANDLER) : BUILT_IN.index("          # The benchmark is measured")]
    rest = before.removeprefix(HANDLER + "        kwargs:\n").replace(FIT_TIMES, "")
    assert refusal(prepare_it, before, LOADER.replace("PACKAGE", package) + rest) == (
        "workflow.task.dataset.kwargs.handler.kwargs.data_loader names "
        f"{OLD}.{package}.loader.QlibDataLoader, {why}; write class: QlibDataLoader and module_path: "
        f"qlib.data.dataset.loader, which the handlers of {NEW}.handlers replace by "
        f"{NEW}.loader.QlibDataLoader. Nothing was run."
    )


def test_every_retired_path_has_its_sentence_here() -> None:
    """The cases above are all of them."""
    tried = {f"{OLD}.{old}" for old, *_ in REFUSED} | {f"{OLD}.fast.backtest.{path}" for path, _ in BACKTEST}
    tried |= {f"{OLD}.fast.processors.{name}" for name in ("CSZScoreNorm", "ProcessInf")}
    tried |= {f"{OLD}.fast.loader.QlibDataLoader"}
    assert tried == set(map(".".join, RETIRED))
