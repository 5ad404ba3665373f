"""The qrun stage: plan, render, train and backtest with the real qrun, export."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import MLRUNS, RESULTS, WORKFLOW_FILE, Metrics, Reason, Stage
from qlib_shadow_runner.dataset.ensure import Resolved
from qlib_shadow_runner.dataset.manifest import Manifest, is_current, manifest_path
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.files import read_json_object, write_atomically, write_json
from qlib_shadow_runner.mlruns import MlflowRun, RunStatus, finished_run, rebase, settle
from qlib_shadow_runner.stages.download import dataset_metadata
from qlib_shadow_runner.stages.outcome import Outcome, Workbench, dataset_result
from qlib_shadow_runner.supervisor import out_of_memory

if TYPE_CHECKING:
    from qlib_shadow_runner.workflow.prepare import Research
    from qlib_shadow_runner.workflow.render import Workflow

SIGKILL_CODES: Final = (-9, 137)
ERROR_LINE: Final = re.compile(
    r"(?:^|An exception has been raised\[)(\w[\w.]*(?:Error|Exception|Exit|Interrupt)\b.*?)(?:\]\.)?$"
)
DISK_FULL: Final = ("No space left on device", "Disk quota exceeded")
NO_MEMORY: Final = ("MemoryError", "Unable to allocate", "Cannot allocate memory", "bad_alloc")
TRAINED_FILE: Final = "trained.json"
"""Beside the results: which configuration the finished MLflow run answers."""


def qrun(bench: Workbench) -> Outcome:
    """Do the research and leave everything that a golden run needs."""
    resolved = resolve_dataset(bench)
    research = _prepare(bench, resolved)
    workflow = research.workflow
    write_atomically(bench.folder.path / WORKFLOW_FILE, workflow.text.encode())
    found = dataset_result(bench, resolved)
    bench.folder.update_metadata(
        **dataset_metadata(found), **_research_metadata(bench, research, resolved.manifest)
    )
    recorded = _already_trained(bench, workflow) or _train(bench, workflow)
    bench.folder.update_metadata(mlflow_run_id=recorded.run_id)
    sys.stdout.write("exporting signals, metrics and summary\n")
    report = _export(bench, recorded)
    metrics = Metrics(**report.pop("metrics"))  # type: ignore[typeddict-item]
    bench.folder.update_metadata(**report)
    return Outcome(headline(metrics), dataset=found, metrics=metrics, config_hash=workflow.config_hash)


def resolve_dataset(bench: Workbench) -> Resolved:
    """Take the version that the download stage recorded; without one, what the name means now."""
    before = bench.folder.result(Stage.DOWNLOAD) or {}
    found = before.get("dataset")
    named = str(found["resolvedPath"]) if isinstance(found, dict) and "resolvedPath" in found else None
    path = bench.context.volume.locate(named or bench.spec.dataset.path)
    folder = path.resolve() if named is None else path
    manifest = Manifest.read(manifest_path(folder))
    if not folder.is_dir() or manifest is None:
        raise StageError(
            Reason.DATASET_MISSING, f"there is no verified dataset at {path}. Run the download stage first."
        )
    if not is_current(manifest, folder):
        raise StageError(
            Reason.DATASET_INVALID,
            f"{folder} was changed after it was verified. "
            "Run the download stage again, so that it is verified anew.",
        )
    return Resolved(folder, manifest)


def _prepare(bench: Workbench, resolved: Resolved) -> Research:
    # The stage starts without Jinja.
    from qlib_shadow_runner.workflow.prepare import prepare  # noqa: PLC0415
    from qlib_shadow_runner.workflow.render import Surroundings  # noqa: PLC0415
    from qlib_shadow_runner.workflow.templates import find_template  # noqa: PLC0415

    here = Surroundings(str(resolved.folder), resolved.manifest.fingerprint, bench.limits.threads)
    template = find_template(bench.spec.workflow, bench.context.environ)
    return prepare(bench.spec, template, resolved.dataset, here)


def _research_metadata(bench: Workbench, research: Research, manifest: Manifest) -> dict[str, object]:
    from qlib_shadow_runner.workflow.described import describe_research  # noqa: PLC0415

    return describe_research(bench.spec.workflow, research, synthetic=manifest.synthetic)


def _already_trained(bench: Workbench, workflow: Workflow) -> MlflowRun | None:
    """Find what an earlier attempt of this stage finished, so that only the rest is done again."""
    trained = read_json_object(bench.folder.path / RESULTS / TRAINED_FILE) or {}
    recorded = finished_run(bench.folder.path / MLRUNS, bench.context.identity.run_id)
    if recorded is None or trained != _trained(recorded, workflow):
        return None
    sys.stdout.write(
        f"an earlier attempt finished training (MLflow run {recorded.run_id}); it is used again\n"
    )
    return recorded


def _trained(recorded: MlflowRun, workflow: Workflow) -> dict[str, object]:
    return {"config_hash": workflow.config_hash, "mlflow_run_id": recorded.run_id}


def _train(bench: Workbench, workflow: Workflow) -> MlflowRun:
    mlruns = bench.folder.path / MLRUNS
    settle(mlruns, RunStatus.KILLED)  # an attempt that was killed outright could not do it itself
    _link_store(bench.scratch, mlruns)
    status = RunStatus.KILLED
    try:
        code = bench.supervisor.run(_command(bench), environ=bench.environ, cwd=str(bench.scratch))
        status = RunStatus.FAILED
    finally:
        settle(mlruns, status)
        rebase(mlruns)
    if code != 0:
        raise training_error(code, bench.tee.error_tail())
    recorded = finished_run(mlruns, bench.context.identity.run_id)
    if recorded is None:
        raise StageError(Reason.OUTPUT_INCOMPLETE, f"qrun ended well but left no finished run in {mlruns}.")
    write_json(bench.folder.path / RESULTS / TRAINED_FILE, _trained(recorded, workflow))
    return recorded


def _command(bench: Workbench) -> list[str]:
    """Call the real qrun; quoted, because Fire reads a run id such as 2024 as a number."""
    beside = Path(sys.executable).with_name("qrun")
    program = [sys.executable, str(beside)] if beside.is_file() else ["qrun"]
    return [
        *program,
        str(bench.folder.path / WORKFLOW_FILE),
        f'--experiment_name="{bench.context.identity.run_id}"',
        f"--uri_folder={MLRUNS}",
    ]


def _link_store(scratch: Path, mlruns: Path) -> None:
    """Reach the store by a path without a folder named `artifacts`.

    MLflow 3.17 takes every run below such a folder for a forgery and refuses it, and the volume's layout
    has one. qrun resolves its working folder but not what is appended to it, so a link is enough.
    """
    mlruns.mkdir(exist_ok=True)
    link = scratch / MLRUNS
    link.unlink(missing_ok=True)
    link.symlink_to(mlruns)


def training_error(code: int, tail: str) -> StageError:
    """Find the reason for qrun's failure in what it printed last."""
    line = last_error(tail)
    if code in SIGKILL_CODES:
        return out_of_memory("qrun")
    if any(mark in tail for mark in DISK_FULL):
        return StageError(Reason.OUT_OF_DISK, f"qrun found no space left: {line}. Free space on the volume.")
    if any(mark in line for mark in NO_MEMORY):
        return StageError(
            Reason.OUT_OF_MEMORY, f"qrun ran out of memory: {line}. Raise the stage's memory limit."
        )
    return StageError(
        Reason.TRAINING_FAILED, f"qrun ended with code {code}: {line}. stderr.log holds the details."
    )


def last_error(tail: str) -> str:
    """Pick the line that says what happened: the last exception, else the last line."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", tail) if line.strip()]
    errors = [found[1] for line in lines if (found := ERROR_LINE.search(line))]
    return (errors or lines or ["it printed nothing"])[-1].rstrip(".")


def _export(bench: Workbench, recorded: MlflowRun) -> dict[str, object]:
    arguments = {
        "folder": str(bench.folder.path),
        "artifacts": str(recorded.artifacts),
        "format": bench.spec.workflow.signals_format,
    }
    return bench.supervisor.step("export", arguments, environ=bench.environ, cwd=str(bench.scratch))


def headline(metrics: Metrics) -> str:
    """Say the figures in one line."""
    parts = [
        ("IC", "ic", "{:.3f}"),
        ("Rank IC", "rankIc", "{:.3f}"),
        ("excess return", "annualizedReturn", "{:.1%}/yr"),
        ("IR", "informationRatio", "{:.2f}"),
        ("max drawdown", "maxDrawdown", "{:.1%}"),
    ]
    values = dict(metrics)
    return " · ".join(f"{name} {form.format(values[key])}" for name, key, form in parts if key in values)
