"""A night that keeps a model keeps the figures by which its features are normalized."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pandas as pd
import pytest
from tests.unit.runner.plugins.side_by_side import open_dataset

from local_stages import LocalVolume
from qlib_shadow_runner.contract import ENV_TEMPLATE
from qlib_shadow_runner.plugins.handlers import Alpha360
from qlib_shadow_runner.runs.mlruns import finished_run
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage.listed_files import sha256_of
from qlib_shadow_runner.workflow.parsed import parse
from qlib_shadow_runner.workflow.templates import find_template

if TYPE_CHECKING:
    from pathlib import Path

NIGHTS = {"night-1": "2020-02-03", "night-2": "2020-02-05"}
BUILT_IN = find_template(parse_spec({}).workflow, None).text
CHOSEN = '{% if engine == "fast" %}Alpha158{% else %}QlibAlpha158{% endif %}\n'


def ask(volume: LocalVolume, night: str) -> None:
    """Let the volume's next run be this night's, on Alpha360 as it is by default."""
    volume.environ = {ENV_TEMPLATE: BUILT_IN.replace(f"class: {CHOSEN}", "class: Alpha360\n")}
    volume.spec = {
        "dataset": {"source": {"synthetic": {"symbols": 10, "days": 300, "until": NIGHTS[night]}}},
        "workflow": {
            "configMapRef": {"name": "mine"},
            "window": {"train": "122d", "valid": "30d", "test": "40d"},
            "model": {"num_boost_round": 12, "min_child_samples": 5},
            "retrain": {"everyDays": 5},
        },
    }


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Run the first night, and begin the second one."""
    volume = LocalVolume(tmp_path_factory.mktemp("fitted"))
    ask(volume, "night-1")
    volume.run("night-1")
    ask(volume, "night-2")
    assert volume.stage("download", "night-2").returncode == 0
    return volume


def features(volume: LocalVolume, *, of: str, fitted_as: str) -> pd.DataFrame:
    """Return a night's features, with processors that Qlib fits to the train days of a night."""
    asked, fitted = (
        parse((volume.folder(night) / "workflow.yaml").read_text()).handler["kwargs"]
        for night in (of, fitted_as)
    )
    warnings.filterwarnings("ignore", "The inplace keyword")  # Qlib sorts in place
    open_dataset(volume.mount / volume.metadata(of)["dataset_resolved_path"].removeprefix("/data/"))
    days = {name: fitted[name] for name in ("start_time", "fit_start_time", "fit_end_time")}
    spans = {name: str(day) for name, day in {**asked, **days}.items() if name.endswith("_time")}
    test = volume.metadata(of)["segments"]["test"]
    found: pd.DataFrame = Alpha360(**{**asked, **spans}).fetch(slice(*test), col_set="feature")
    return found


def test_a_kept_night_predicts_with_the_state_of_the_night_that_trained(volume: LocalVolume):
    """To the last bit what the model gives of features that Qlib normalizes by the trainer's days."""
    document = json.loads((volume.folder("night-1") / "model/processors.json").read_text())
    assert [one["class"] for one in document["processors"]] == ["ZScoreNorm"]
    done = volume.stage("qrun", "night-2")
    assert done.returncode == 0, done.stderr
    assert "the model of the run night-1 is kept" in done.stdout
    assert "processors: restored as the kept model has them, ZScoreNorm" in done.stdout
    assert volume.faults("night-2") == []
    recorded = finished_run(volume.folder("night-2") / "mlruns", "night-2")
    assert recorded is not None
    trained_on = features(volume, of="night-2", fitted_as="night-1")
    own = features(volume, of="night-2", fitted_as="night-2")
    assert not trained_on.equals(own)
    for text, file in (("model.txt", "pred.pkl"), ("live_model.txt", "live_pred.pkl")):
        model = lightgbm.Booster(model_file=str(volume.folder("night-1") / "model" / text))
        scores = pd.read_pickle(recorded.artifacts / file)["score"]
        expected = model.predict(trained_on.loc[scores.index].to_numpy())
        assert np.asarray(expected).tobytes() == scores.to_numpy().tobytes()


def test_a_forged_state_is_named_and_the_run_trains(volume: LocalVolume, tmp_path: Path):
    """Its hashes fit; what another run leaves is input."""
    shutil.copytree(volume.mount, tmp_path / "data", symlinks=True)
    other = LocalVolume(tmp_path)
    ask(other, "night-2")
    for name in ("night-1", "night-2"):
        folder = other.folder(name)
        if not (folder / "model/processors.json").is_file():
            continue
        state = folder / "model/processors.json"
        state.write_text(state.read_text().replace('"std_train": [\n', '"std_train": [\n    "0x0p+0",\n', 1))
        document = json.loads((folder / "model/MODEL.json").read_text())
        document["files"]["processors.json"] = sha256_of(state)
        (folder / "model/MODEL.json").write_text(json.dumps(document))
        metadata = other.metadata(name)
        for file in ("processors.json", "MODEL.json"):
            metadata["outputs"][f"model/{file}"] = sha256_of(folder / "model" / file)
        (folder / "RUN_METADATA.json").write_text(json.dumps(metadata))
    done = other.run("night-3")
    assert "the model of the run night-1 is not kept: processors.json has not one figure of" in done.stdout
    assert other.metadata("night-3")["model_trained_by"] == "night-3"
    assert other.faults("night-3") == []
