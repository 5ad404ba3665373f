"""The acceptance checks. Each returns what it found, or raises BrokenPromise with what is wrong."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    METADATA_FILE,
    METRICS_FILE,
    MLRUNS,
    MODEL,
    REPORT_FILE,
    STDERR_FILE,
    STDOUT_FILE,
    SUMMARY_FILE,
    TABLES,
    WORKFLOW_FILE,
    ExitCode,
    Metrics,
)
from qlib_shadow_runner.contract.stages import COMPLETE, STAGES, stage_record
from qlib_shadow_runner.guard.layers import AUDIT_HOOK
from qlib_shadow_runner.runs.mlruns import RunStatus
from qlib_shadow_runner.storage.listed_files import sha256_of_stream
from qlib_shadow_runner.storage.untrusted import (
    PAGE,
    missing_texts,
    names_in,
    open_file,
    read_text,
    status_of,
)
from qlib_shadow_runner.verify.broken_promise import BrokenPromise
from qlib_shadow_runner.verify.live_check import check_live_model, check_live_table
from qlib_shadow_runner.verify.signals_check import check_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_runner.verify.evidence import Evidence

REQUIRED_FILES: Final = (WORKFLOW_FILE, STDOUT_FILE, STDERR_FILE, SUMMARY_FILE, METADATA_FILE, METRICS_FILE)
REQUIRED_METADATA: Final = (
    "run_id", "name", "uid", "git_commit", "config_hash", "workflow_sha256", "seed",
    "dataset_path", "dataset_resolved_path", "dataset_fingerprint", "dataset_start", "dataset_end",
    "market", "benchmark", "segments", "mlflow_run_id",
    "started_at_utc", "finished_at_utc", "status", "stages", "peak_memory_bytes",
    "python", "packages", "limits",
)  # fmt: skip
TOLERANCE: Final = 1e-12


def files_are_there(evidence: Evidence) -> str:
    """Check that every promised file exists and is not empty."""
    missing = [name for name in REQUIRED_FILES if not _has_content(evidence, name)]
    if not evidence.runs:
        missing.append(f"{MLRUNS}/")
    if missing:
        raise BrokenPromise(f"missing or empty: {', '.join(missing)}")
    if not _has_content(evidence, evidence.signals_path.name):
        raise BrokenPromise(f"{evidence.signals_path.name} is empty")
    return f"{len(REQUIRED_FILES) + 1} files and {MLRUNS}/"


def metadata_is_complete(evidence: Evidence) -> str:
    """Check that the metadata has every field, and that the run is complete, or at the stage that asks."""
    under_way = evidence.before is not None
    required = [key for key in REQUIRED_METADATA if not under_way or key != "finished_at_utc"]
    missing = [key for key in required if evidence.metadata.get(key) in (None, "", {}, [])]
    if missing:
        raise BrokenPromise(f"{METADATA_FILE} lacks {', '.join(missing)}")
    expected = "running" if under_way else COMPLETE
    if evidence.metadata["status"] != expected:
        raise BrokenPromise(f'the status is "{evidence.metadata["status"]}", not "{expected}"')
    if under_way:
        return f"{len(required)} fields, status {expected}"
    if str(evidence.metadata["finished_at_utc"]) < str(evidence.metadata["started_at_utc"]):
        raise BrokenPromise("it finished before it started")
    return f"{len(REQUIRED_METADATA)} fields, status complete"


def stages_are_done(evidence: Evidence) -> str:
    """Check that every stage of the run has a result, and that it succeeded."""
    for stage in evidence.stages:
        code = evidence.result(stage).get("exitCode")
        if code != ExitCode.DONE:
            raise BrokenPromise(f"results/{stage}.json says that {stage} ended with {code}")
    return ", ".join(evidence.stages)


def workflow_is_the_one(evidence: Evidence) -> str:
    """Check that workflow.yaml is the file that was run, and that it passes vetting."""
    from qlib_shadow_runner.workflow.vetting import vet  # noqa: PLC0415

    digest = hashlib.sha256(evidence.workflow_bytes).hexdigest()
    if digest != evidence.metadata.get("workflow_sha256"):
        raise BrokenPromise(f"{WORKFLOW_FILE} hashes to {digest[:12]}…, not to what {METADATA_FILE} says")
    vet(evidence.workflow)
    return f"sha256 {digest[:12]}…"


def configuration_hash_holds(evidence: Evidence) -> str:
    """Check the hash of the configuration."""
    found = evidence.workflow.config_hash(str(evidence.metadata["dataset_fingerprint"]))
    if found != evidence.metadata.get("config_hash"):
        raise BrokenPromise(f"the configuration hashes to {found[:12]}…, not to what {METADATA_FILE} says")
    return f"{found[:12]}…"


def dataset_is_unchanged(evidence: Evidence) -> str:
    """Check that the dataset is unchanged, by hashing every file again."""
    from qlib_shadow_runner.dataset.fingerprint import fingerprint  # noqa: PLC0415

    found = fingerprint(evidence.dataset)
    if found != evidence.metadata.get("dataset_fingerprint"):
        raise BrokenPromise(f"{evidence.dataset.name} hashes to {found[:12]}…, not to what the run used")
    return f"fingerprint {found[:12]}…"


def recorder_is_finished(evidence: Evidence) -> str:
    """Check that the MLflow run is finished, and that no other is marked as running."""
    running = [run.run_id for run in evidence.runs if run.status in (RunStatus.RUNNING, RunStatus.SCHEDULED)]
    if running:
        raise BrokenPromise(f"MLflow run {running[0]} is still marked as running")
    if evidence.recorded.status != RunStatus.FINISHED:
        raise BrokenPromise(
            f"MLflow run {evidence.recorded.run_id} has status {evidence.recorded.status}, not finished"
        )
    return f"MLflow run {evidence.recorded.run_id[:12]}…"


def tables_are_unchanged(evidence: Evidence) -> str:
    """Check that the tables are those that the run wrote."""
    found = evidence.tables
    for name, fault in found.faults.items():
        if name == TABLES or name.startswith(f"{TABLES}/"):
            raise BrokenPromise(f"{name} {fault}")
    return f"{len(found.found)} tables"


def recorder_gives_the_tables(evidence: Evidence) -> str:
    """Check that the tables are what the recorder's pickles hold, which a closed child reads again."""
    from qlib_shadow_runner.pickles.files import RECORDED_IN  # noqa: PLC0415
    from qlib_shadow_runner.tables.conversion import convert  # noqa: PLC0415 - Arrow only when needed
    from qlib_shadow_runner.tables.files import first_difference  # noqa: PLC0415

    again = convert(evidence.folder, evidence.recorded.artifacts)
    name = first_difference(evidence.tables, again)
    if name is not None:
        file = RECORDED_IN[name]
        if name not in evidence.tables.found:
            raise BrokenPromise(f"there is no table {name} with which {file} could be compared")
        fault = again.faults.get(file, f"does not hold what is in the table {name}")
        raise BrokenPromise(f"{file} {fault}")
    return f"{len(again.found)} tables, converted again"


def metrics_are_recomputed(evidence: Evidence) -> str:
    """Check that metrics.json and the stage's result have the figures of the run's tables."""
    from qlib_shadow_runner.export.metrics import compute_metrics  # noqa: PLC0415

    expected: Mapping[str, object] = dict(compute_metrics(evidence.tables))
    _compare_metrics(METRICS_FILE, evidence.metrics, expected)
    for stage in evidence.stages:
        if "metrics" in STAGES[stage].leaves:
            _compare_metrics(f"results/{stage}.json", evidence.result(stage).get("metrics"), expected)
    return f"{len(expected)} figures"


def run_is_one(evidence: Evidence) -> str:
    """Check that every file is of the same run and configuration."""
    run_id, config = evidence.metadata.get("run_id"), evidence.metadata.get("config_hash")
    identity = evidence.signals[1]
    named = {
        METRICS_FILE: (evidence.metrics.get("runId"), evidence.metrics.get("configHash")),
        MLRUNS: (evidence.recorded.experiment, config),
        **{
            f"results/{stage}.json": (evidence.result(stage).get("runId"), config)
            for stage in evidence.stages
        },
    }
    if identity is not None:
        named[evidence.signals_path.name] = (identity.get("run_id"), identity.get("config_hash"))
    for name, pair in named.items():
        if pair != (run_id, config):
            raise BrokenPromise(f"{name} is of {pair[0]}, not of {run_id}")
    return str(run_id)


def summary_is_current(evidence: Evidence) -> str:
    """Check the summary by rendering it again."""
    from qlib_shadow_runner.export.metrics import compute_metrics  # noqa: PLC0415
    from qlib_shadow_runner.export.summary import render_summary  # noqa: PLC0415

    expected = render_summary(
        evidence.metadata,
        compute_metrics(evidence.tables),
        evidence.figures,
        evidence.signals[0],
        evidence.signals_path.name,
    )
    if read_text(evidence.folder, SUMMARY_FILE) != expected:
        raise BrokenPromise(f"{SUMMARY_FILE} does not say what the run's files say")
    return SUMMARY_FILE


def logs_are_complete(evidence: Evidence) -> str:
    """Check that both logs cover every stage."""
    for name in (STDOUT_FILE, STDERR_FILE):
        headers = {f" stage {stage} attempt ": stage for stage in evidence.stages}
        for header in missing_texts(evidence.folder, name, headers):
            raise BrokenPromise(f"{name} says nothing of the stage {headers[header]}")
    return f"{STDOUT_FILE}, {STDERR_FILE}"


def network_was_closed(evidence: Evidence) -> str:
    """Check that no closed stage had a network, and that metadata and log name the same protection."""
    found = _closed_by(evidence, evidence.metadata.get("network_guard"), "the training")
    for stage in evidence.stages:
        if STAGES[stage].is_closed and not STAGES[stage].trains:
            layers = stage_record(evidence.metadata, stage).get("network_guard")
            _closed_by(evidence, layers, f"the stage {stage}")
    return found


def _closed_by(evidence: Evidence, layers: object, what: str) -> str:
    if not isinstance(layers, list) or AUDIT_HOOK not in layers:
        raise BrokenPromise(f"{METADATA_FILE} does not say what kept {what} from the network")
    named = ", ".join(map(str, layers))
    if missing_texts(evidence.folder, STDOUT_FILE, [f"network closed by {named}\n"]):
        raise BrokenPromise(
            f"{METADATA_FILE} says that the network was closed by {named}; {STDOUT_FILE} does not"
        )
    return named if len(layers) > 1 else f"{named} alone, which native code passes by"


def signals_are_ranked(evidence: Evidence) -> str:
    """Check that the signals are the model's predictions, ranked, until the last day."""
    fault, found = check_signals(evidence)
    if fault:
        raise BrokenPromise(f"{evidence.signals_path.name}: {fault}")
    return found


def model_is_the_one(evidence: Evidence) -> str:
    """Check that the run's model is what it lists, and the one that the workflow says is kept."""
    from qlib_shadow_runner.training.model_folder import ModelFolder  # noqa: PLC0415

    trained_by, kept = evidence.metadata.get("model_trained_by"), evidence.workflow.kept_model
    if trained_by is None and kept is None and not os.path.lexists(evidence.folder / MODEL):
        check_live_table(evidence)
        return "none is left"
    model = ModelFolder.read(evidence.folder)
    if model is None:
        raise BrokenPromise(f"there is no {MODEL}/, the model that {trained_by} trained")
    model.check()
    outputs = evidence.metadata.get("outputs")
    if not isinstance(outputs, dict) or model.listed().items() - outputs.items():
        raise BrokenPromise(f"{MODEL}/ is not what {METADATA_FILE} lists")
    if model.trained_by != trained_by or (kept is not None and kept != model.pinned):
        raise BrokenPromise(
            f"{MODEL}/ is of {model.trained_by}, and not the model that {METADATA_FILE} names"
        )
    told = evidence.metadata.get("model_kept"), evidence.metadata.get("model_trained_through")
    if told != (kept is not None, model.text("trained_through")):
        raise BrokenPromise(
            f"{METADATA_FILE} does not say of the model what {MODEL}/ and {WORKFLOW_FILE} say"
        )
    check_live_table(evidence)
    check_live_model(evidence, model)
    if kept is None:
        return f"trained on days to {model.day('trained_through')}"
    dataset = str(model.document["dataset"])
    there = dataset in names_in(evidence.dataset.parent)
    gone = "" if there else f"; it cannot be rebuilt, since {dataset} was removed"
    return f"kept from {trained_by}, which trained on days to {model.day('trained_through')}{gone}"


def report_is_the_one(evidence: Evidence) -> str:
    """Check that report.html is the one of this run; a run without one says why."""
    digest = evidence.metadata.get("report_sha256")
    if digest is None and not os.path.lexists(evidence.folder / REPORT_FILE):
        return f"none: {evidence.metadata.get('report_fault') or 'the run is older than reports'}"
    with open_file(evidence.folder, REPORT_FILE, PAGE) as stream:
        found = sha256_of_stream(stream)
    if found != digest:
        raise BrokenPromise(f"{REPORT_FILE} hashes to {found[:12]}…, not to what {METADATA_FILE} says")
    return f"sha256 {found[:12]}…"


REPORT_CHECK: Final = "report"
CHECKS: Final[Mapping[str, Callable[[Evidence], str]]] = {
    "files": files_are_there,
    "metadata": metadata_is_complete,
    "stages": stages_are_done,
    "workflow": workflow_is_the_one,
    "configuration hash": configuration_hash_holds,
    "dataset": dataset_is_unchanged,
    "recorder": recorder_is_finished,
    "tables": tables_are_unchanged,
    "conversion": recorder_gives_the_tables,
    "model": model_is_the_one,
    "signals": signals_are_ranked,
    "metrics": metrics_are_recomputed,
    "summary": summary_is_current,
    "identity": run_is_one,
    "logs": logs_are_complete,
    "network": network_was_closed,
    REPORT_CHECK: report_is_the_one,
}
"""Every check, in the order in which it is printed."""


def _has_content(evidence: Evidence, name: str) -> bool:
    try:
        status = status_of(evidence.folder, name)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _compare_metrics(name: str, document: object, expected: Mapping[str, object]) -> None:
    if not isinstance(document, dict):
        raise BrokenPromise(f"{name} holds no metrics")
    for key in Metrics.__annotations__:
        found, true = document.get(key), expected.get(key)
        if found is None and true is None:
            continue
        both = isinstance(found, int | float) and isinstance(true, int | float)
        if not both or not math.isclose(found, true, rel_tol=TOLERANCE, abs_tol=TOLERANCE):  # type: ignore[arg-type]
            raise BrokenPromise(f"{name} says {key} {found}; its tables give {true}")
