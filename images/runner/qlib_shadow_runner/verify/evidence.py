"""The files and figures that the checks need; each is read when first used, and once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
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
from qlib_shadow_runner.storage.untrusted import TEXT, names_in, read_file, read_object
from qlib_shadow_runner.storage.volume import Volume, real_path

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from qlib_shadow_runner.analysis.figures import ReportFigures, ReportMaterial
    from qlib_shadow_runner.tables.layout import Tables
    from qlib_shadow_runner.workflow.parsed import Workflow


@dataclass(frozen=True)
class Evidence:
    """A run folder, which may be a copy, and the volume of its dataset."""

    folder: Path
    mount: Path | None = None
    material: ReportMaterial | None = None
    """The run's tables as series, if they are already read."""
    before: Stage | None = None
    """The stage that asks, while the run is under way; neither its result nor later ones are there."""

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
        """Return the run's stages, in order, as far as they must be done."""
        found = recorded_stages(self.metadata)
        return tuple(takewhile(lambda stage: stage is not self.before, found))

    def result(self, stage: str) -> dict[str, object]:
        """Return a stage's result."""
        return self._object(f"results/{stage}.json")

    @cached_property
    def workflow_bytes(self) -> bytes:
        """Return the bytes of workflow.yaml."""
        return read_file(self.folder, WORKFLOW_FILE, TEXT)

    @cached_property
    def workflow(self) -> Workflow:
        """Return the parsed workflow.yaml, not vetted."""
        from qlib_shadow_runner.workflow.parsed import parse  # noqa: PLC0415 - ruamel only when needed

        return parse(self.workflow_bytes.decode())

    @cached_property
    def signals_path(self) -> Path:
        """Return the file of signals, Parquet or CSV."""
        names = [f"{SIGNALS_STEM}{suffix}" for suffix in (".parquet", ".csv")]
        found = [name for name in names_in(self.folder) if name in names]
        if len(found) != 1:
            raise FileNotFoundError(f"{len(found)} files named {SIGNALS_STEM}.*, where one is expected")
        return self.folder / found[0]

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
    def tables(self) -> Tables:
        """Return the run's tables, as far as they are what the run wrote."""
        from qlib_shadow_runner.tables.files import read_tables  # noqa: PLC0415 - Arrow only when needed

        return self.material.outputs.tables if self.material else read_tables(self.folder, self.metadata)

    @cached_property
    def figures(self) -> ReportFigures:
        """Return the report's figures, computed from the run's tables."""
        from qlib_shadow_runner.analysis.facts import RunFacts  # noqa: PLC0415 - pandas only when needed
        from qlib_shadow_runner.analysis.figures import ReportMaterial  # noqa: PLC0415
        from qlib_shadow_runner.analysis.outputs import Outputs  # noqa: PLC0415

        material = self.material or ReportMaterial(Outputs(self.tables), RunFacts.of(self.metadata))
        return material.figures

    @cached_property
    def dataset(self) -> Path:
        """Return the dataset version's folder: below --data, else beside the artifacts."""
        volume = Volume(self.mount or real_path(self.folder).parents[len(ARTIFACTS.parts)])
        found = volume.locate(str(self.metadata["dataset_resolved_path"]))
        volume.name(real_path(found))  # refuses a link out of the volume
        if not found.is_dir():
            raise FileNotFoundError(f"there is no {found}; say where the volume is with --data")
        return found

    def _object(self, name: str) -> dict[str, object]:
        return read_object(self.folder, name)
