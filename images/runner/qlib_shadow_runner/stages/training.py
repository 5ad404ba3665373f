"""The finished MLflow run of a computation: of an earlier attempt, of an identical run, or trained here."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

from qlib_shadow_runner.cache.places import (
    ENV_CACHE,
    ENV_REPORT,
    ENV_ROWS_FROM,
    FEATURES_CACHE,
    limit_for_children,
)
from qlib_shadow_runner.contract import MLRUNS, WORKFLOW_FILE, Reason
from qlib_shadow_runner.contract.spec import Reuse
from qlib_shadow_runner.crash_points import ModelPoint, QrunPoint, fault_point, for_children
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error, print_line
from qlib_shadow_runner.process.limits import peak_memory
from qlib_shadow_runner.runs.mlruns import RunStatus, discard_broken, finished_run, rebase, settle
from qlib_shadow_runner.storage.untrusted import copy_file
from qlib_shadow_runner.training.checkpoints import (
    ENV_CHECKPOINTS,
    ENV_KEPT_MODEL,
    ENV_LIVE_MODEL,
    Checkpoints,
    TrainingStep,
    code_is_known,
)
from qlib_shadow_runner.training.failure import training_error
from qlib_shadow_runner.training.model_folder import MODEL_TEXT
from qlib_shadow_runner.training.reuse import IdenticalRun, copy_training, find_identical_run
from qlib_shadow_runner.training.trained import Trained, Unusable, features_of_last_attempt, report_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date
    from pathlib import Path

    from qlib_shadow_runner.runs.mlruns import MlflowRun
    from qlib_shadow_runner.stages.outcome import StageContext
    from qlib_shadow_runner.training.model_folder import ModelFolder


def reuse_training(context: StageContext, computation: str) -> MlflowRun | None:
    """Return the finished MLflow run of an earlier attempt or of an identical run, if one is usable."""
    mlruns = context.folder.path / MLRUNS
    # An attempt that was killed leaves unfinished MLflow runs.
    discard_broken(mlruns)
    settle(mlruns, RunStatus.KILLED)
    return _earlier_attempts(context, computation) or _identical_runs(context, computation)


def origin_of_training(context: StageContext) -> str | None:
    """Return the run from which the training of this folder was taken over, if it was."""
    trained = Trained.read(context.folder.path)
    return trained.reused_from if trained else None


def discard_training(context: StageContext, recorded: MlflowRun) -> None:
    """Remove a training that was taken over, with its experiment, whose record is another run's too."""
    shutil.rmtree(recorded.folder.parent)
    Trained.discard(context.folder.path)


def identical_run_of(context: StageContext, computation: str) -> IdenticalRun | None:
    """Return the identical run, or None; without a known code version no run is identical."""
    if not code_is_known(context.folder.metadata):
        return None
    return find_identical_run(context.folder.path, computation)


def _earlier_attempts(context: StageContext, computation: str) -> MlflowRun | None:
    """Return the MLflow run that an earlier attempt of this stage finished, or None."""
    folder = context.folder.path
    try:
        trained = Trained.read(folder)
        if trained is None or trained.computation != computation:
            return None
        recorded = trained.recorded_in(folder, context.stage_input.identity.run_id)
    except Unusable as why:
        print_error(f"warning: what an earlier attempt trained cannot be used: {why}. Training again.")
        return None
    print_line(
        f"an earlier attempt finished training (MLflow run {recorded.run_id}, whose hashes hold); "
        "it is used again"
    )
    return recorded


def _identical_runs(context: StageContext, computation: str) -> MlflowRun | None:
    """Return a copy of the identical run's MLflow run where the spec allows reuse, or None."""
    identical_run = (
        identical_run_of(context, computation) if context.spec.reuse is Reuse.IF_IDENTICAL else None
    )
    recorded = copy_training(identical_run, context.folder.path) if identical_run else None
    if identical_run and recorded:
        print_line(
            f"the run {identical_run.run_id} answered the same question of the same data "
            "with the same versions, and "
            f"its hashes hold: its training and backtest are taken over (MLflow run {recorded.run_id})"
        )
    return recorded


def train(
    context: StageContext,
    computation: str,
    test_begins: date,
    kept: ModelFolder | None = None,
    live_model: Mapping[str, object] | None = None,
) -> MlflowRun:
    """Return the MLflow run of a training that is done now, from its checkpoints on.

    With a kept model only what follows from it is done: predictions, analysis, backtest. The child gets the
    workflow's section about a live model.
    """
    folder = context.folder.path
    if kept is not None:
        _seed_checkpoint(folder, kept, computation)
    checkpoints = Checkpoints.of(folder, computation).home
    mlruns = folder / MLRUNS
    mlruns.mkdir(exist_ok=True)
    _link_store(context.scratch, context.folder.attempt_path / MLRUNS)
    # MLflow writes to the path in the store's records, even after the store was moved.
    rebase(mlruns, context.folder.attempt_path / MLRUNS)
    status = RunStatus.KILLED
    try:
        code = context.supervisor.run(
            _command(context),
            environ=_environ(context, checkpoints, kept, test_begins, live_model),
            cwd=str(context.scratch),
        )
        status = RunStatus.FAILED
    finally:
        settle(mlruns, status)
        rebase(mlruns)
    if code != 0:
        raise training_error(code, context.tee.error_tail())
    fault_point(QrunPoint.TRAINED)
    recorded = finished_run(mlruns, context.stage_input.identity.run_id)
    if recorded is None:
        raise StageError(Reason.OUTPUT_INCOMPLETE, f"qrun ended well but left no finished run in {mlruns}.")
    context.folder.update_metadata(training_peak_memory_bytes=peak_memory().size)
    Trained.of(recorded, computation, features=features_of_last_attempt(checkpoints)).write(folder)
    fault_point(QrunPoint.TRAINED_RECORDED)
    return recorded


def _seed_checkpoint(folder: Path, kept: ModelFolder, computation: str) -> None:
    """Make the kept models the checkpoints of the steps that would train them."""
    checkpoints = Checkpoints.of(folder, computation)
    live = kept.live_texts
    _seed(checkpoints, TrainingStep.MODEL, kept, kept.files.keys() - {*live}, kept.details)
    if live:
        _seed(checkpoints, TrainingStep.LIVE, kept, live, kept.live_details)
    fault_point(ModelPoint.SEEDED)


def _seed(
    checkpoints: Checkpoints,
    step: TrainingStep,
    kept: ModelFolder,
    names: Iterable[str],
    details: Mapping[str, object],
) -> None:
    if checkpoints.find(step) is None:
        draft = checkpoints.begin(step)
        for name in names:
            copy_file(kept.folder, name, MODEL_TEXT, draft.path(name))
        draft.keep(details)


def _environ(
    context: StageContext,
    checkpoints: Path,
    kept: ModelFolder | None,
    test_begins: date,
    live_model: Mapping[str, object] | None,
) -> dict[str, str]:
    home = context.folder.attempt_path / checkpoints.relative_to(context.folder.path)
    keeping = {ENV_KEPT_MODEL: kept.trained_by, ENV_ROWS_FROM: str(test_begins)} if kept is not None else {}
    return {
        **context.environ,
        ENV_CHECKPOINTS: str(home),
        **keeping,
        **({ENV_LIVE_MODEL: json.dumps(live_model, default=str)} if live_model is not None else {}),
        ENV_CACHE: str(context.stage_input.volume.mount / FEATURES_CACHE),
        ENV_REPORT: str(report_path(home, context.folder.attempts(context.stage_input.stage))),
        **limit_for_children(context.stage_input.environ),
        **for_children(context.stage_input.environ),
    }


def _command(context: StageContext) -> list[str]:
    """Return the qrun command; the run id is quoted, because Fire reads 2024 as a number."""
    return [
        sys.executable,
        "-P",
        "-m",
        "qlib_shadow_runner.stages.launch_qrun",
        str(context.folder.path / WORKFLOW_FILE),
        f'--experiment_name="{context.stage_input.identity.run_id}"',
        f"--uri_folder={MLRUNS}",
    ]


def _link_store(scratch: Path, mlruns: Path) -> None:
    """Make a link to the store whose path has no folder named `artifacts`.

    MLflow 3.17 refuses every run below such a folder, and the volume's layout has one. qrun resolves its
    working folder but not the path appended to it, so a link is enough.
    """
    link = scratch / MLRUNS
    link.unlink(missing_ok=True)
    link.symlink_to(mlruns)
