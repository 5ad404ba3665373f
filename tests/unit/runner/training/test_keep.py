"""Which model of an earlier run is kept, and why another is not."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.special_files import replace

from qlib_shadow_runner.contract import METADATA_FILE, MODEL
from qlib_shadow_runner.storage.listed_files import sha256_of
from qlib_shadow_runner.training.checkpoints import ENV_KEPT_MODEL, Checkpoints, TrainingStep
from qlib_shadow_runner.training.keep import Wanted, find_model
from qlib_shadow_runner.training.model_folder import ModelFolder, copy_model, write_model
from qlib_shadow_runner.training.trained import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECIPE = "5" * 64
MADE_WITH = {"machine": "x86_64", "packages": {"lightgbm": "4.7.0"}, "code": "abc"}
CALENDAR = [date(2025, 1, 1) + timedelta(days=number) for number in range(300)]


def wanted(**changes: Any) -> Wanted:
    """Return what a run looks for, whose data ends on 2025-10-27 and whose test begins on 2025-08-29."""
    values = {
        "recipe_sha256": RECIPE,
        "namespace": "here",
        "series": None,
        "made_with": MADE_WITH,
        "every_days": 10,
        "fields": frozenset({"close", "open"}),
        "calendar": CALENDAR,
        "test_begins": CALENDAR[240],
        "ahead": 2,
        "look_back": 60,
    }
    return Wanted(**{**values, **changes})


def live(through: date) -> dict[str, Any]:
    """Return what the document says of a live model."""
    return {"live": {"trained_through": str(through), "details": {"best_iteration": 2}}}


def left(runs: Path, run_id: str, **changes: Any) -> ModelFolder:
    """Make a complete run that has left a model, whose data ended three days before the end."""
    folder, texts = runs / run_id, runs.parent / f"texts-{run_id}"
    folder.mkdir(parents=True)
    texts.mkdir()
    for name in ("model.txt", "live_model.txt") if changes.get("live") else ("model.txt",):
        (texts / name).write_text(f"tree of {run_id}\n")
    facts = {
        "recipe": {},
        "recipe_sha256": RECIPE,
        "class": "LGBModel",
        "trained_by": run_id,
        "namespace": "here",
        "trained_through": "2025-06-01",
        "validated_through": str(CALENDAR[237]),
        "data_end": str(CALENDAR[-4]),
        "features_anchor": str(CALENDAR[70]),
        "features_days_before": 60,
        "config_hash": "c" * 64,
        "dataset": "us@3f9c",
        "dataset_fingerprint": "f" * 64,
        "fields": ["close"],
        "made_with": MADE_WITH,
        "details": {"best_iteration": 3},
        **changes,
    }
    model = write_model(folder, [texts], facts, runs.parent / "draft")
    metadata = {
        "run_id": run_id, "namespace": "here", "status": "complete", "recipe_sha256": RECIPE,
        "finished_at_utc": f"2025-10-25T00:00:0{run_id[-1]}Z", "outputs": model.listed(),
    }  # fmt: skip
    (folder / METADATA_FILE).write_text(json.dumps(metadata))
    return model


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return the folder of all runs."""
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def change_metadata(runs: Path, run_id: str, /, **values: object) -> None:
    """Change what a run says of itself."""
    path = runs / run_id / METADATA_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_model_with_the_newest_data_is_kept(runs: Path):
    """Whichever run finished last."""
    left(runs, "run-1", data_end=str(CALENDAR[-3]))
    left(runs, "run-2")
    found = find_model(runs / "mine", wanted())
    assert (found.source, found.notes) == ("run-1", [])
    assert found.model is not None
    assert wanted().age(found.model) == 2


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
@pytest.mark.parametrize(("training", "kept"), [({"exit_code": 0}, "run-1"), ({"exit_code": 14}, None)])
def test_a_model_is_kept_when_its_training_is_done(
    runs: Path, status: str, training: dict[str, int], kept: str | None
):
    """However the ledger ends that comes afterwards: a damaged book is no reason to train each night."""
    left(runs, "run-1")
    change_metadata(runs, "run-1", status=status, stages={"download": {}, "qrun": training, "ledger": {}})
    assert find_model(runs / "mine", wanted()).source == kept


@pytest.mark.parametrize(
    ("changes", "wish", "fault"),
    [
        ({"data_end": str(CALENDAR[-11])}, {}, "it is 10 trading days old, and every 10 a run trains"),
        ({"data_end": "2025-10-28"}, {}, "its data ends on 2025-10-28, later than this run's"),
        ({"validated_through": str(CALENDAR[238])}, {}, "it has learnt from days to 2025-08-27"),
        ({}, {"ahead": 20}, "it has learnt from days to 2025-08-26, which this run tests"),
        ({"validated_through": str(CALENDAR[-1])}, {"ahead": 2}, "it has learnt from days to 2025-10-27"),
        ({}, {"live": True}, "it has no live model"),
        (live(CALENDAR[-5]), {"live": True}, "live model has learnt from days to 2025-10-23, whose"),
        ({}, {"made_with": MADE_WITH | {"machine": "aarch64"}}, "it was made with other machine"),
        ({}, {"made_with": MADE_WITH | {"packages": {}, "code": "d"}}, "other code, packages"),
        ({"made_with": None}, {}, "it was made with other code, machine, packages"),
        ({"features_anchor": "2024-12-31"}, {}, "its features begin on 2024-12-31, which is no day of this"),
        ({"features_anchor": "2025-03-01"}, {}, "its features knew 60 days before 2025-03-01, and this run"),
        ({"fields": ["close", "vwap"]}, {}, "it was made with $vwap, which the data does not have"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_named(
    runs: Path, changes: dict[str, Any], wish: dict[str, Any], fault: str
):
    """And the run trains."""
    left(runs, "run-1", **changes)
    found = find_model(runs / "mine", wanted(**wish))
    assert found.model is None
    [note] = found.notes
    assert note.startswith("the model of the run run-1 is not kept: ")
    assert fault in note
    assert found.unexpected == (None if "every 10 a run trains" in fault else note)


def test_a_model_is_kept_for_fewer_days_than_every_days(runs: Path):
    """With everyDays 1, a run on the same data keeps it, and one on a day more trains."""
    left(runs, "run-1", data_end=str(CALENDAR[-1]))
    assert find_model(runs / "mine", wanted(every_days=1)).source == "run-1"
    assert (
        find_model(runs / "mine", wanted(every_days=1, calendar=[*CALENDAR, date(2025, 10, 28)])).source
        is None
    )


def test_runs_of_other_recipes_and_namespaces_are_not_looked_at(runs: Path):
    """Nor is the run itself, nor one that is not complete."""
    for number, values in enumerate(
        [{"recipe_sha256": "6" * 64}, {"namespace": "there"}, {"status": "failed"}, {"run_id": "other"}]
    ):
        left(runs, f"run-{number}")
        change_metadata(runs, f"run-{number}", **values)
    left(runs, "mine-9")
    assert find_model(runs / "mine-9", wanted()).notes == []
    assert find_model(runs / "mine-9", wanted()).source is None


def test_two_schedules_with_one_recipe_do_not_share_a_model(runs: Path):
    """Nor does a run without a series keep one of a series, or the other way round."""
    for number, series in enumerate(("us", "world", None), 1):
        left(runs, f"run-{number}", series=series)
        change_metadata(runs, f"run-{number}", series=series)
    for number, series in enumerate(("us", "world", None), 1):
        found = find_model(runs / "mine", wanted(series=series))
        assert (found.source, found.notes) == (f"run-{number}", [])
    assert find_model(runs / "mine", wanted(series="asia")).source is None


def _document(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def damage(model: Path) -> None:
        document = json.loads((model / "MODEL.json").read_text())
        change(document)
        (model / "MODEL.json").write_text(json.dumps(document))

    return damage


def test_a_live_model_is_kept_while_all_its_labels_were_known_when_its_data_ended(runs: Path):
    """So no day that it has learnt from reaches into a live day's outcome, tonight's or a later night's."""
    model = left(runs, "run-1", **live(CALENDAR[-6]))
    assert model.texts == ["live_model.txt", "model.txt"]
    assert model.sha256() != model.sha256(live=True)
    assert model.live_through == CALENDAR[-6]
    assert find_model(runs / "mine", wanted(live=True)).source == "run-1"
    assert find_model(runs / "mine", wanted()).source == "run-1"


LISTS = "does not list the files and details of its class"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda model: (model / "model.txt").write_text("another tree\n"), "not what was written"),
    "no text": (lambda model: (model / "model.txt").unlink(), "is missing"),
    "link": (lambda model: replace(model / "model.txt", "link"), "is a link"),
    "FIFO": (lambda model: replace(model / "model.txt", "FIFO"), "is a FIFO"),
    "no document": (lambda model: (model / "MODEL.json").unlink(), "it has none"),
    "empty": (lambda model: (model / "MODEL.json").write_text(""), "is not a JSON object"),
    "long": (lambda model: (model / "MODEL.json").write_text("{" + " " * 3_000_000), "has at most 2.0 MiB"),
    "format": (_document(lambda one: one.update(format=2)), "has format 2, not 1"),
    "files": (_document(lambda one: one.update(files={})), LISTS),
    "outside": (_document(lambda one: one.update(files={"../../x": "0" * 64})), LISTS),
    "other file": (_document(lambda one: one.update(files={"{{x.txt": "0" * 64})), LISTS),
    "digest": (_document(lambda one: one.update(files={"model.txt": "0"})), LISTS),
    "details": (_document(lambda one: one.pop("details")), LISTS),
    "rounds": (_document(lambda one: one["details"].pop("best_iteration")), LISTS),
    "more details": (_document(lambda one: one["details"].update(evaluations={})), LISTS),
    "live": (_document(lambda one: one.pop("live")), LISTS),
    "live text": (_document(lambda one: one["files"].pop("live_model.txt")), LISTS),
    "live model that is none": (_document(lambda one: one.update(live=None)), LISTS),
    "live day": (_document(lambda one: one["live"].update(trained_through="2025-13-01")), LISTS),
    "live details": (_document(lambda one: one["live"].update(details=[])), LISTS),
    "more of live": (_document(lambda one: one["live"].update(more=1)), LISTS),
    "no live": (_document(lambda one: one.update(live=[])), LISTS),
    "class": (_document(lambda one: one.update({"class": "DEnsembleModel"})), LISTS),
    "other class": (_document(lambda one: one.update({"class": "SVM"})), LISTS),
    "day": (_document(lambda one: one.update(data_end="yesterday")), "lacks data_end"),
    "no author": (_document(lambda one: one.pop("trained_by")), "lacks trained_by"),
    "author": (_document(lambda one: one.update(trained_by="a\0b")), "names no run or no dataset"),
    "empty author": (_document(lambda one: one.update(trained_by="")), "names no run or no dataset"),
    "dataset": (_document(lambda one: one.update(dataset="../x")), "names no run or no dataset"),
    "recipe": (_document(lambda one: one.update(recipe_sha256="7" * 64)), "of another recipe or namespace"),
    "namespace": (_document(lambda one: one.update(namespace="there")), "of another recipe or namespace"),
    "series that is none": (_document(lambda one: one.update(series=["us"])), "names no series"),
    "series with a path": (_document(lambda one: one.update(series="../us")), "names no series"),
    "other facts": (_document(lambda one: one.update(trained_through="2020-01-01")), "not what was written"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model_is_named_and_the_next_one_kept(runs: Path, name: str):
    """Whatever another run has put there."""
    damage, fault = DAMAGE[name]
    left(runs, "run-1")
    newer = left(runs, "run-2", data_end=str(CALENDAR[-2]), **live(CALENDAR[-5]))
    damage(newer.folder)
    found = find_model(runs / "mine", wanted())
    assert found.source == "run-1"
    [note] = found.notes
    assert "run-2" in note
    assert fault in note


def test_a_run_that_lists_no_outputs_is_not_trusted(runs: Path):
    """Its metadata hold the model to what it wrote."""
    left(runs, "run-1")
    change_metadata(runs, "run-1", outputs=None)
    [note] = find_model(runs / "mine", wanted()).notes
    assert "its listing names no files" in note


def test_a_copy_is_whole_and_no_link(runs: Path):
    """The run that trained may be removed."""
    found = left(runs, "run-1")
    (runs / "mine").mkdir()
    copy = copy_model(found, runs / "mine", runs.parent / "draft")
    copy.check()
    assert copy.listed() == found.listed()
    assert {path.stat().st_nlink for path in copy.folder.iterdir()} == {1}
    assert copy.folder.stat().st_mode == found.folder.stat().st_mode
    assert not (runs.parent / "draft").exists()


def test_a_model_that_changes_while_it_is_copied_is_not_kept(runs: Path):
    """Nothing of it stays in the run folder."""
    found = left(runs, "run-1")
    (found.folder / "model.txt").write_text("other\n")
    (runs / "mine").mkdir()
    with pytest.raises(Unusable, match="not what was written"):
        copy_model(found, runs / "mine", runs.parent / "draft")
    assert list((runs / "mine").iterdir()) == []


def test_a_stage_that_keeps_a_model_never_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Even where the checkpoint that holds the kept model is damaged."""
    checkpoints = Checkpoints(tmp_path)
    monkeypatch.setenv(ENV_KEPT_MODEL, "run-1")
    with pytest.raises(RuntimeError, match="the model of the run run-1 is kept, and its checkpoint cannot"):
        checkpoints.begin(TrainingStep.MODEL)
    with pytest.raises(RuntimeError, match="the model of the run run-1 is kept, and its checkpoint cannot"):
        checkpoints.begin(TrainingStep.LIVE)
    assert checkpoints.begin(TrainingStep.PREDICTION).folder.is_dir()


def test_files_of_the_folder_are_listed_by_their_hashes(runs: Path):
    """The document too."""
    model = left(runs, "run-1")
    assert model.listed()[f"{MODEL}/MODEL.json"] == sha256_of(model.folder / "MODEL.json")
