"""A run that names the model of another run: it predicts with that model, or it is refused."""

from __future__ import annotations

import json
import shutil
import struct
from typing import TYPE_CHECKING, Any

import pytest

from local_stages import LocalVolume
from qlib_shadow_runner.cli.predict import predict_with
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.crash_points import ModelPoint
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.listed_files import hash_files, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRAINING = "Training until validation scores"
DATA: dict[str, Any] = {"synthetic": {"symbols": 10, "days": 300, "until": "2020-02-03"}}
WORKFLOW: dict[str, Any] = {
    "window": {"train": "122d", "valid": "30d", "test": "40d"},
    "model": {"num_boost_round": 12, "min_child_samples": 5},
}
LATER = {"synthetic": {**DATA["synthetic"], "until": "2020-02-06"}}


def ask(volume: LocalVolume, source: dict[str, Any] = LATER, **workflow: Any) -> None:
    """Let the next run ask the question of the run `trainer` with its model, but for some changes."""
    model = {**WORKFLOW["model"], "from": "trainer"}
    volume.spec = {"dataset": {"source": source}, "workflow": {**WORKFLOW, "model": model, **workflow}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Return a volume with a run that has trained, which nothing changes."""
    volume = LocalVolume(tmp_path_factory.mktemp("named"))
    volume.spec = {"dataset": {"source": DATA}, "workflow": WORKFLOW}
    volume.run("trainer")
    return volume


@pytest.fixture
def volume(trained: LocalVolume, tmp_path: Path) -> LocalVolume:
    """Return a copy of it."""
    shutil.copytree(trained.mount, tmp_path / "data", symlinks=True)
    return LocalVolume(tmp_path)


def refused(volume: LocalVolume, run_id: str = "user") -> str:
    """Return the sentence with which a run is refused; check that it left no model and trained nothing."""
    assert volume.stage("download", run_id).returncode == 0
    assert volume.stage("qrun", run_id).returncode == ExitCode.BAD_CONFIG
    result = volume.result(run_id)
    assert result["reason"] == Reason.MODEL_REFUSED
    folder = volume.folder(run_id)
    assert TRAINING not in volume.log(run_id=run_id)
    assert not (folder / "model").exists()
    assert not (folder / "signals_ranked.parquet").exists()
    message: str = result["message"]
    assert message.endswith("Name another run, or leave from out so that this run trains.")
    return message


def test_a_named_model_predicts_however_old_it_is(volume: LocalVolume):
    """Killed after its choice, with the trainer gone meanwhile, the run goes on with its own copy."""
    before = hash_files(volume.folder("trainer") / "model")
    ask(volume)
    assert volume.stage("download", "user").returncode == 0
    volume.stop_at(ModelPoint.CHOSEN, "user")
    shutil.rmtree(volume.folder("trainer"))
    done = volume.stage("qrun", "user")
    assert done.returncode == 0, done.stderr
    assert TRAINING not in done.stdout
    assert "the model of the run trainer is used: it has learnt from days to" in done.stdout
    assert hash_files(volume.folder("user") / "model") == before
    metadata = volume.metadata("user")
    assert (metadata["model_kept"], metadata["model_trained_by"]) == (True, "trainer")
    assert metadata["signals_last"] == "2020-02-06"
    assert volume.faults("user") == []


def forge(volume: LocalVolume, **changes: object) -> None:
    """Change what the trainer's model says of itself, and list it as its own."""
    folder = volume.folder("trainer")
    path = folder / "model/MODEL.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    metadata = volume.metadata("trainer")
    metadata["outputs"]["model/MODEL.json"] = sha256_of(path)
    (folder / "RUN_METADATA.json").write_text(json.dumps(metadata))


DAMAGES: list[tuple[Callable[[LocalVolume], object], str]] = [
    (lambda volume: shutil.rmtree(volume.folder("trainer")), "there is no such run on this volume"),
    (lambda volume: shutil.rmtree(volume.folder("trainer") / "model"), "it has none"),
    (lambda volume: (volume.folder("trainer") / "model/model.txt").write_text("tree"), "model.txt"),
    (lambda volume: (volume.folder("trainer") / "model/MODEL.json").write_text("{"), "MODEL.json is not"),
    (lambda volume: forge(volume, fields=["close", "sentiment"]), "$sentiment, which the data does not have"),
    (lambda volume: forge(volume, data_end="2020-02-07"), "its data ends on 2020-02-07, later than"),
    (lambda volume: forge(volume, recipe=7), "its recipe has another"),
    (lambda volume: forge(volume, recipe={"\x1b[2J" + "k" * 9999: 2}), "template_sha256: nothing there"),
    (lambda volume: forge(volume, fields=["x" * 101]), "MODEL.json lists no fields"),
    (lambda volume: forge(volume, details={"best_iteration": True}), "does not list the files and details"),
    (lambda volume: forge(volume, details={"best_iteration": -2}), "does not list the files and details"),
    (lambda volume: (volume.folder("trainer") / "RUN_METADATA.json").unlink(), "RUN_METADATA.json"),
    (
        lambda volume: (volume.folder("trainer") / "RUN_METADATA.json").write_text('{"status": "failed"}'),
        "the run is failed, and only one that has trained has a model to predict with",
    ),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_a_model_that_cannot_be_used_is_refused(
    volume: LocalVolume, damage: Callable[[LocalVolume], object], sentence: str
):
    """And the difference is named; nothing is trained in its place."""
    damage(volume)
    ask(volume)
    assert sentence in refused(volume)


@pytest.mark.parametrize(
    ("source", "workflow", "sentence"),
    [
        (LATER, {"seed": 8}, "its recipe has another seed: 7 there, 8 here"),
        (LATER, {"model": {"from": "trainer"}}, "another asked.min_child_samples: 5 there, nothing here"),
        (LATER, {"window": {"valid": "30d", "test": "41d"}}, 'window.test: "40d" there, "41d" here'),
        (
            {"synthetic": {**DATA["synthetic"], "until": "2020-01-31"}},
            {},
            "its data ends on 2020-02-03, later than this run's",
        ),
    ],
)  # fmt: skip
def test_another_question_is_refused(
    volume: LocalVolume, source: dict[str, Any], workflow: dict[str, Any], sentence: str
):
    """Of a recipe the first part that differs is named, with both values."""
    ask(volume, source, **workflow)
    assert sentence in refused(volume)


def test_other_packages_and_another_past_are_told_and_not_refused(volume: LocalVolume):
    """A person has named the model."""
    forge(volume, made_with={"machine": "abacus", "packages": {}, "code": "old"})
    learnt_from = volume.mount / "qlib/qlib_data" / str(volume.metadata("trainer")["model_dataset"])
    closes = max(learnt_from.glob("features/*/close.day.bin"))  # the first is the benchmark's
    content = bytearray(closes.read_bytes())
    content[400:404] = struct.pack("<f", 2.0)
    closes.chmod(0o600)
    closes.write_bytes(content)
    ask(volume)
    done = volume.run("user")
    symbol = closes.parent.name.upper()
    caveats = (
        "The model was made with other code and machine and packages than this run's",
        f"The prices of 1 of 10 instruments ({symbol}) were restated since the model learnt from them",
    )
    for caveat, told in zip(caveats, volume.metadata("user")["caveats"][-2:], strict=True):
        assert caveat in done.stderr
        assert told.startswith(caveat)
    assert volume.faults("user") == []


def test_a_finished_run_predicts_by_one_command(volume: LocalVolume, capsys: pytest.CaptureFixture[str]):
    """The manifest is not needed: a run holds what it was asked."""
    asked = json.loads((volume.folder("trainer") / "results/asked.json").read_text())
    assert asked["spec"]["workflow"] == WORKFLOW
    code = predict_with("trainer", volume.mount, prices=None, deadline=None, as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert code == 0, answer
    assert "with the model of the run trainer, 0 trading days old" in answer["message"]
    assert answer["golden"]["passed"] is True


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("results/asked.json", None, "does not say what it was asked: asked.json is missing or damaged"),
        ("results/asked.json", "[]", "asked.json is not a JSON object"),
        ("results/asked.json", '{"spec": []}', "does not say what it was asked"),
        ("results/asked.json", '{"spec": {"workflow": 3}}', "spec.workflow"),
        ("results/asked.json", '{"spec": {"dataset": {"nme": 1}}}', 'spec.dataset has no field "nme"'),
        ("RUN_METADATA.json", "{", "is damaged; only a run that has trained well has a model to predict"),
    ],
)
def test_a_run_that_cannot_be_asked_again_is_named(
    trained: LocalVolume, tmp_path: Path, name: str, content: str | None, sentence: str
):
    """In one sentence, and nothing is begun."""
    volume = LocalVolume(tmp_path)
    folder = volume.folder("trainer")
    folder.mkdir(parents=True)
    (folder / "results").mkdir()
    for kept in ("RUN_METADATA.json", "results/asked.json"):
        shutil.copy(trained.folder("trainer") / kept, folder / kept)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(StageError) as caught:
        predict_with("trainer", volume.mount, prices=None, deadline=None, as_json=False)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert sentence in caught.value.message
    assert [path.name for path in folder.parent.iterdir()] == ["trainer"]
