"""The files and figures that the checks need; each is read when first used, and once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import (
    ARTIFACTS,
    METADATA_FILE,
    METRICS_FILE,
    MLRUNS,
    SIGNALS_STEM,
    WORKFLOW_FILE,
    Stage,
)
from qlib_shadow_runner.contract.stages import recorded_stages
from qlib_shadow_runner.runs.mlruns import MlflowRun, recorded_runs

if TYPE_CHECKING:
    import pandas as pd

    from qlib_shadow_runner.analysis.figures import ReportFigures, ReportMaterial
    from qlib_shadow_runner.workflow.parsed import Workflow


@dataclass(frozen=True)
class Evidence:
    """A run folder, which may be a copy, and the volume of its dataset."""

    folder: Path
    mount: Path | None = None
    material: ReportMaterial | None = None
    """The recorder's outputs, if they are already read, which takes a second or two."""

    @cached_property
    def metadata(self) -> dict[str, object]:
        """Return the content of RUN_METADATA.json."""
        return self._object(METADATA_FILE)

    @cached_property
    def metrics(self) -> dict[str, object]:
        """Return the content of metrics.json."""
        return self._object(METRICS_FILE)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the run's stages, in order."""
        return recorded_stages(self.metadata)

    def result(self, stage: str) -> dict[str, object]:
        """Return a stage's result."""
        return self._object(f"results/{stage}.json")

    @cached_property
    def workflow_bytes(self) -> bytes:
        """Return the bytes of workflow.yaml."""
        return (self.folder / WORKFLOW_FILE).read_bytes()

    @cached_property
    def workflow(self) -> Workflow:
        """Return the parsed workflow.yaml, not vetted."""
        from qlib_shadow_runner.workflow.parsed import parse  # noqa: PLC0415 - ruamel only when needed

        return parse(self.workflow_bytes.decode())

    @cached_property
    def signals_path(self) -> Path:
        """Return the file of signals, Parquet or CSV."""
        found = sorted(
            path for path in self.folder.glob(f"{SIGNALS_STEM}.*") if path.suffix in (".parquet", ".csv")
        )
        if len(found) != 1:
            raise FileNotFoundError(f"{len(found)} files named {SIGNALS_STEM}.*, where one is expected")
        return found[0]

    @cached_property
    def signals(self) -> tuple[pd.DataFrame, dict[str, object] | None]:
        """Return the signals, and the run's identity if the file has one."""
        from qlib_shadow_runner.export.ranked_signals import read_signals  # noqa: PLC0415 - pandas only when needed

        return read_signals(self.signals_path)

    @cached_property
    def runs(self) -> list[MlflowRun]:
        """Return every run that MLflow recorded."""
        return list(recorded_runs(self.folder / MLRUNS))

    @cached_property
    def recorded(self) -> MlflowRun:
        """Return the MLflow run that the metadata names."""
        wanted = self.metadata.get("mlflow_run_id")
        found = [run for run in self.runs if run.run_id == wanted]
        if not found:
            raise FileNotFoundError(f"mlruns holds no run {wanted}, which {METADATA_FILE} names")
        return found[0]

    @cached_property
    def figures(self) -> ReportFigures:
        """Return the report's figures, computed from the recorder's pickles."""
        from qlib_shadow_runner.analysis.facts import RunFacts  # noqa: PLC0415 - pandas only when needed
        from qlib_shadow_runner.analysis.figures import ReportMaterial  # noqa: PLC0415
        from qlib_shadow_runner.analysis.outputs import Outputs  # noqa: PLC0415

        artifacts = self.recorded.artifacts
        known = self.material is not None and self.material.outputs.artifacts == artifacts
        material = self.material if known else ReportMaterial(Outputs(artifacts), RunFacts.of(self.metadata))
        assert material is not None, "it is known or made"
        return material.figures

    @cached_property
    def dataset(self) -> Path:
        """Return the dataset version's folder: below --data, else beside the artifacts."""
        inside = PurePosixPath(str(self.metadata["dataset_resolved_path"]))
        home = self.mount or self.folder.resolve().parents[len(ARTIFACTS.parts)]
        found = home.joinpath(*inside.parts[2:])
        if not found.is_dir():
            raise FileNotFoundError(f"there is no {found}; say where the volume is with --data")
        return found

    def _object(self, name: str) -> dict[str, object]:
        document = json.loads((self.folder / name).read_bytes())
        if not isinstance(document, dict):
            raise TypeError(f"{name} is not a JSON object")
        return document
