"""`python -m qlib_shadow_runner.stages.steps NAME ARGUMENTS REPORT`: heavy work in a child process.

A step frees its memory and imports by ending. It writes its findings, or the reason and message of its
failure, to the file REPORT.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ENV_TEMPLATE, Reason, Stage
from qlib_shadow_runner.errors import StageError, from_os_error, unexpected
from qlib_shadow_runner.printing import print_error_text
from qlib_shadow_runner.process.ending import end_process
from qlib_shadow_runner.process.memory_limit import hold_memory, memory_ran_out
from qlib_shadow_runner.storage.files import write_json
from qlib_shadow_runner.storage.untrusted import read_file
from qlib_shadow_runner.training.model_folder import MODEL_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def dataset(arguments: Mapping[str, object]) -> dict[str, object]:
    """Build or verify the dataset while holding its lock, in less memory than the stage has."""
    hold_memory()
    from qlib_shadow_runner.dataset.ensure import ensure  # noqa: PLC0415 - each step loads only its own imports
    from qlib_shadow_runner.runs.request import requested_spec  # noqa: PLC0415
    from qlib_shadow_runner.spec import parse_spec  # noqa: PLC0415
    from qlib_shadow_runner.storage.volume import Volume  # noqa: PLC0415

    prices = arguments.get("prices")
    volume = Volume(Path(str(arguments["mount"])), Path(str(prices)) if prices else None)
    spec = parse_spec(requested_spec(os.environ)).dataset.at(volume)
    resolved = ensure(Path(str(arguments["canonical"])), spec)
    return {"folder": str(resolved.folder)}


def workflow(_: Mapping[str, object]) -> dict[str, object]:
    """Refuse a workflow that no dataset can make right."""
    from qlib_shadow_runner.runs.request import requested_spec  # noqa: PLC0415
    from qlib_shadow_runner.spec import parse_spec  # noqa: PLC0415
    from qlib_shadow_runner.workflow.prepare import check_without_data  # noqa: PLC0415

    check_without_data(parse_spec(requested_spec(os.environ)), os.environ.get(ENV_TEMPLATE))
    return {}


def export(arguments: Mapping[str, object]) -> dict[str, object]:
    """Convert the recorder's pickles to tables, and write what is made from them."""
    from qlib_shadow_runner.export import export_run  # noqa: PLC0415

    folder = Path(str(arguments["folder"]))
    artifacts, form = folder / str(arguments["artifacts"]), str(arguments["format"])
    return export_run(folder, artifacts, form, faultless=bool(arguments["faultless"]))


def catalog(arguments: Mapping[str, object]) -> dict[str, object]:
    """Update the catalog of runs."""
    from qlib_shadow_runner.catalog.update import add_finished_run  # noqa: PLC0415
    from qlib_shadow_runner.storage.volume import Volume  # noqa: PLC0415

    return {"runs": len(add_finished_run(Volume(Path(str(arguments["mount"])))).runs)}


def report(arguments: Mapping[str, object]) -> dict[str, object]:
    """Make report.html from the files of the run so far."""
    from qlib_shadow_runner.report.make import make_report  # noqa: PLC0415

    return make_report(Path(str(arguments["folder"])), Path(str(arguments["mount"])))


def model(arguments: Mapping[str, object]) -> dict[str, object]:
    """Parse the texts of a model that another run has written, in less memory than the stage has."""
    hold_memory()
    from qlib_shadow_runner.training.lightgbm_library import parse_fault  # noqa: PLC0415
    from qlib_shadow_runner.training.model_text import TreeError, check_text  # noqa: PLC0415

    folder, files = Path(str(arguments["folder"])), arguments["files"]
    assert isinstance(files, list), "the stage lists them"
    for name in map(str, files):
        try:
            check_text(read_file(folder, name, MODEL_TEXT))
        except TreeError as error:
            raise StageError(Reason.OUTPUT_INCOMPLETE, f"{name} cannot be followed: {error}") from error
        if fault := parse_fault(folder / name):
            raise StageError(Reason.OUTPUT_INCOMPLETE, f"LightGBM cannot read {name}: {fault}")
    return {"models": len(files)}


def decay(arguments: Mapping[str, object]) -> dict[str, object]:
    """Hold the live IC of a model against what was promised; the followup may be another run's work."""
    hold_memory()
    from qlib_shadow_runner.catalog.live_ic import decay_of_model  # noqa: PLC0415
    from qlib_shadow_runner.storage.volume import Volume  # noqa: PLC0415

    horizon = arguments["horizon"]
    assert isinstance(horizon, int), "the stage counts days"
    texts = {name: str(arguments[name]) for name in ("source", "trained_by", "namespace")}
    volume, folder = Volume(Path(str(arguments["mount"]))), Path(str(arguments["folder"]))
    return decay_of_model(volume, folder, **texts, horizon=horizon)


def ledger(arguments: Mapping[str, object]) -> dict[str, object]:
    """Record the night in the run's book."""
    hold_memory()
    from qlib_shadow_runner.runs.request import Identity, requested_spec  # noqa: PLC0415
    from qlib_shadow_runner.spec import parse_spec  # noqa: PLC0415
    from qlib_shadow_runner.stages.ledger_step import keep_ledger  # noqa: PLC0415

    spec = parse_spec(requested_spec(os.environ)).ledger
    assert spec is not None, "only a run with a ledger has the stage"
    run_id, uid, namespace = (str(arguments[name]) for name in ("run_id", "uid", "namespace"))
    identity = Identity(run_id=run_id, uid=uid, name="", namespace=namespace)
    return keep_ledger(Path(str(arguments["folder"])), Path(str(arguments["mount"])), identity, spec)


def ledger_asked(arguments: Mapping[str, object]) -> dict[str, object]:
    """Refuse a ledger that could record no night of this run, before anything is fetched or trained."""
    from qlib_shadow_runner.ledger.own import require_book  # noqa: PLC0415
    from qlib_shadow_runner.runs.request import requested_spec  # noqa: PLC0415
    from qlib_shadow_runner.spec import parse_spec  # noqa: PLC0415
    from qlib_shadow_runner.stages.ledger_rules import ledger_faults  # noqa: PLC0415
    from qlib_shadow_runner.workflow.description import strategy_of  # noqa: PLC0415
    from qlib_shadow_runner.workflow.prepare import check_without_data  # noqa: PLC0415

    spec = parse_spec(requested_spec(os.environ))
    assert spec.ledger is not None, "only a run with a ledger has the step"
    workflow = check_without_data(spec, os.environ.get(ENV_TEMPLATE))
    for fault in ledger_faults(spec.ledger, strategy_of(workflow) if workflow else None):
        raise fault
    require_book(spec.ledger, Path(str(arguments["ledgers"])), str(arguments["namespace"]))
    return {}


OF_DOWNLOAD: Final = frozenset({"workflow", "dataset"})
"""The steps of the download stage; but for that of the ledger, the others are of the training."""
NO_THREAD: Final = ("can't start new thread", "Failed to launch worker thread")
"""What Python and Arrow say where there is no memory for a thread's stack."""
STEPS: Final[Mapping[str, Callable[[Mapping[str, object]], dict[str, object]]]] = {
    "workflow": workflow,
    "dataset": dataset,
    "export": export,
    "report": report,
    "catalog": catalog,
    "model": model,
    "decay": decay,
    "ledger": ledger,
    "ledger_asked": ledger_asked,
}


def main(name: str, arguments: str, report: str) -> int:
    """Run one step and write its findings or its failure."""
    try:
        findings = STEPS[name](json.loads(arguments))
    except Exception as error:  # noqa: BLE001 - the stage needs a reason for every failure
        failure = _failure(name, error)
        if failure.reason is Reason.INTERNAL_ERROR:
            print_error_text(traceback.format_exc())
        findings = {"reason": failure.reason, "message": failure.message}
    write_json(Path(report), findings)
    return 0


def _stage_of(step: str) -> Stage:
    if step == Stage.LEDGER:
        return Stage.LEDGER
    return Stage.DOWNLOAD if step in OF_DOWNLOAD else Stage.QRUN


def _failure(name: str, error: Exception) -> StageError:
    if isinstance(error, StageError):
        return error
    if isinstance(error, MemoryError) or any(text in str(error) for text in NO_THREAD):
        return memory_ran_out(f"the step {name}", _stage_of(name))
    if isinstance(error, OSError):
        return from_os_error(error)
    return unexpected(error)


if __name__ == "__main__":
    end_process(main(*sys.argv[1:]))
