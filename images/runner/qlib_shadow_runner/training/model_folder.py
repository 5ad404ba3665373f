"""The folder `model/` of a run: the models in their own text, and MODEL.json, which says how they were made.

    model.txt        the evaluated model; model_0.txt … of an ensemble
    live_model.txt   the live model, where there is one: the same, refitted through the last known label

It is written once, by the run that trains. A later run of the same recipe copies it whole, so that each run
folder has the model that made its signals. A model of another run is input: its names are taken apart, its
hashes are checked, and a child process with limits parses it before it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Self

from qlib_shadow_runner.contract import MODEL
from qlib_shadow_runner.contract.spec import run_id_fault, series_of
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.durability import sync_tree
from qlib_shadow_runner.storage.files import sync_folder, write_atomically
from qlib_shadow_runner.storage.listed_files import first_fault, hash_files, sha256_of_stream
from qlib_shadow_runner.storage.relative_names import name_fault
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.storage.untrusted import DOCUMENT, FileKind, copy_file, open_file, read_object
from qlib_shadow_runner.training.processor_state import PROCESSORS, ProcessorState, read_states
from qlib_shadow_runner.training.trained import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MODEL_DOCUMENT: Final = "MODEL.json"
FORMAT: Final = 1
MODEL_TEXT: Final = FileKind("model", 256 << 20)
"""LightGBM's text: 10 KB for each tree of 64 leaves, so this is 25,000 rounds."""
SUMMARY: Final = "summary.json"
"""What the model's features were on the days of train: see drift/summary.py."""
DOCUMENTS: Final[frozenset[str]] = frozenset({SUMMARY, PROCESSORS})
"""Names of documents that may lie beside the texts: JSON, written by the step that trained."""
LIVE: Final = "live_"
"""How the names of the live model's texts begin."""
DAYS: Final = ("trained_through", "validated_through", "data_end", "features_anchor")
NUMBERS: Final = ("features_days_before",)
TEXTS: Final = ("trained_by", "recipe_sha256", "config_hash", "namespace", "class", "dataset")
FIELD: Final = re.compile("[A-Za-z0-9_]{1,100}")
MOST_FIELDS: Final = 1000
MOST_ROUNDS: Final = 100_000
NAME_OF_FEATURE: Final = 500
"""The most characters; some are expressions."""
SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelFolder:
    """The model of a run, as its document describes it."""

    folder: Path
    document: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the model in a run folder, or None; raise Unusable where it can be none.

        The texts are not read: see `check`.
        """
        try:
            document = read_object(folder, f"{MODEL}/{MODEL_DOCUMENT}")
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            raise Unusable(str(error)) from error
        if fault := _form_fault(document):
            raise Unusable(fault)
        return cls(folder / MODEL, document)

    @classmethod
    def read_whole(cls, folder: Path) -> Self | None:
        """Return the model in one's own run folder; None where there is none that is whole."""
        try:
            found = cls.read(folder)
            if found is not None:
                found.check()
        except Unusable:
            return None
        return found

    def check(self) -> None:
        """Raise Unusable where a text is not what was written."""
        if fault := first_fault(self.folder, self.files, kind=MODEL_TEXT):
            raise Unusable(fault)

    @property
    def files(self) -> dict[str, str]:
        """Return the hash of each text and document, by its name."""
        return dict(self.document["files"])

    @property
    def pinned(self) -> dict[str, str]:
        """Return the hash of each file, MODEL.json too: it says how many rounds predict."""
        with open_file(self.folder, MODEL_DOCUMENT, DOCUMENT) as stream:
            return {**self.files, MODEL_DOCUMENT: sha256_of_stream(stream)}

    @property
    def texts(self) -> list[str]:
        """Return the names of the models' texts."""
        return sorted(self.files.keys() - DOCUMENTS)

    def processors(self) -> list[ProcessorState]:
        """Return what its processors have learnt from train, or raise Unusable."""
        if PROCESSORS not in self.files:
            return []
        try:
            return read_states(read_object(self.folder, PROCESSORS))
        except DamagedFileError as error:
            raise Unusable(str(error)) from error

    @property
    def live_texts(self) -> list[str]:
        """Return the names of the live model's texts; there are none where it is the evaluated one."""
        return [name for name in self.texts if name.startswith(LIVE)]

    @property
    def live_through(self) -> date | None:
        """Return the last day that the live model has learnt from, or None where there is none."""
        live = self.document["live"]
        return date.fromisoformat(live["trained_through"]) if live else None

    def sha256(self, *, live: bool = False) -> str | None:
        """Return the hash over a model's texts; None where there is no live model."""
        names = self.live_texts if live else [name for name in self.texts if not name.startswith(LIVE)]
        listed = "".join(f"{name} {self.files[name]}\n" for name in names)
        return hashlib.sha256(listed.encode()).hexdigest() if names else None

    @property
    def details(self) -> dict[str, Any]:
        """Return what is restored besides the texts: rounds and features."""
        return dict(self.document["details"])

    @property
    def live_details(self) -> dict[str, Any]:
        """Return what is restored of the live model besides its texts."""
        return dict(self.document["live"]["details"])

    @property
    def trained_by(self) -> str:
        """Return the id of the run that trained it."""
        return str(self.document["trained_by"])

    @property
    def series(self) -> str | None:
        """Return the series of the run that trained it, or None."""
        found: str | None = self.document.get("series")
        return found

    def made_otherwise(self, made_with: Mapping[str, object]) -> list[str]:
        """Return which of machine, packages and code were others when it was made."""
        then = self.document.get("made_with")
        return sorted(
            key for key, value in made_with.items() if not isinstance(then, dict) or then.get(key) != value
        )

    def text(self, name: str) -> str:
        """Return a text of its document."""
        return str(self.document[name])

    def day(self, name: str) -> date:
        """Return the last day of train, of valid, of the data of the training, or the first of features."""
        return date.fromisoformat(self.document[name])

    def listed(self) -> dict[str, str]:
        """Return the hash of each file of the folder, by its path in the run folder."""
        return {f"{MODEL}/{name}": digest for name, digest in self.pinned.items()}


def write_model(folder: Path, texts: list[Path], facts: Mapping[str, object], staging: Path) -> ModelFolder:
    """Write the model that a run has trained, from the files of its checkpoints."""
    found = {source: hash_files(source, kind=MODEL_TEXT) for source in texts}
    home = {name: source for source, files in found.items() for name in files}
    files = {name: digest for listed in found.values() for name, digest in listed.items()}
    document = {"format": FORMAT, "live": None, **facts, "files": files}
    return _place(
        folder, staging, document, lambda name: copy_file(home[name], name, MODEL_TEXT, staging / name)
    )


def copy_model(found: ModelFolder, folder: Path, staging: Path) -> ModelFolder:
    """Copy the model of another run into a run folder, or raise where it was changed meanwhile."""

    def copy(name: str) -> None:
        copy_file(found.folder, name, MODEL_TEXT, staging / name)

    placed = _place(folder, staging, found.document, copy)
    try:
        placed.check()
    except Unusable:
        discard(placed.folder)
        raise
    return placed


def _place(
    folder: Path, staging: Path, document: Mapping[str, Any], copy: Callable[[str], None]
) -> ModelFolder:
    """Fill a draft and rename it, so that the folder appears whole."""
    discard(staging)
    staging.mkdir(parents=True)
    for name in document["files"]:
        copy(name)
    text = json.dumps(document, indent=2, allow_nan=False)
    write_atomically(staging / MODEL_DOCUMENT, text.encode())
    sync_tree(staging)
    target = folder / MODEL
    discard(target)
    staging.rename(target)
    sync_folder(folder)
    return ModelFolder(target, document)


def restored_details(kind: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return those details of a training that its model needs: not its learning curve and scores."""
    return {name: details[name] for name in RESTORED[kind]}


RESTORED: Final[Mapping[str, tuple[str, ...]]] = {
    "LGBModel": ("best_iteration",),
    "DEnsembleModel": ("best_iterations", "features"),
}
"""What each class restores besides the texts."""


def file_names(kind: str, details: Mapping[str, Any]) -> list[str]:
    """Return the names of a model's texts."""
    if kind == "LGBModel":
        return ["model.txt"]
    return [f"model_{number}.txt" for number in range(len(details["best_iterations"]))]


def _form_fault(document: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the form of a document, or None."""
    where = f"{MODEL}/{MODEL_DOCUMENT}"
    if document.get("format") != FORMAT:
        return f"{where} has format {document.get('format')!r}, not {FORMAT}"
    missing = [key for key in TEXTS if not isinstance(document.get(key), str)]
    missing += [key for key in DAYS if not _is_day(document.get(key))]
    missing += [key for key in NUMBERS if type(document.get(key)) is not int]
    if missing:
        return f"{where} lacks {', '.join(missing)}"
    if not _are_fields(document.get("fields")):
        return f"{where} lists no fields"
    dataset, series = document["dataset"], document.get("series")
    if series is not None and series_of(document) is None:
        return f"{where} names no series"
    if run_id_fault(document["trained_by"]) or name_fault(dataset) or "/" in dataset:
        return f"{where} names no run or no dataset"
    return None if _lists_a_model(document) else f"{where} does not list the files and details of its class"


def _are_fields(value: object) -> bool:
    if not isinstance(value, list) or len(value) > MOST_FIELDS:
        return False
    return all(isinstance(one, str) and FIELD.fullmatch(one) for one in value)


def _lists_a_model(document: Mapping[str, Any]) -> bool:
    kind, files, details = document["class"], document.get("files"), document.get("details")
    if not isinstance(details, dict) or not _are_restored(kind, details) or not isinstance(files, dict):
        return False
    names = {*file_names(kind, details)}
    live = document.get("live", "missing")
    if live is not None:
        if not isinstance(live, dict) or set(live) != {"trained_through", "details"}:
            return False
        if not _is_day(live["trained_through"]) or not _are_restored(kind, live["details"]):
            return False
        names |= {f"{LIVE}{name}" for name in file_names(kind, live["details"])}
    if files.keys() - DOCUMENTS != names:
        return False
    return all(isinstance(digest, str) and SHA256.fullmatch(digest) for digest in files.values())


def _are_restored(kind: str, details: object) -> bool:
    """Say whether a class can be restored from these details."""
    if not isinstance(details, dict) or kind not in RESTORED or set(details) != set(RESTORED[kind]):
        return False
    if kind == "LGBModel":
        return _is_round(details["best_iteration"])
    best, features = details["best_iterations"], details["features"]
    if not isinstance(best, list) or not isinstance(features, list) or not 0 < len(best) == len(features):
        return False
    return all(map(_is_round, best)) and all(map(_are_features, features))


def _is_round(value: object) -> bool:
    """Say whether a value is a round, or -1 for the last one."""
    return type(value) is int and -1 <= value <= MOST_ROUNDS


def _are_features(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str) and len(one) <= NAME_OF_FEATURE for one in value
    )


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False
