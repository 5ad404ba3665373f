"""The folder `model/` of a run: the models in their own text, and MODEL.json, which says how they were made.

It is written once, by the run that trains. A later run of the same recipe copies it whole, so that each run
folder has the model that made its signals. A model of another run is input: its names are taken apart, its
hashes are checked, and a child process with limits parses it before it is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Self

from qlib_shadow_runner.contract import MODEL
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.durability import sync_tree
from qlib_shadow_runner.storage.files import sync_folder, write_atomically
from qlib_shadow_runner.storage.listed_files import first_fault, hash_files, sha256_of_stream
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.storage.untrusted import LISTING, FileKind, copy_file, open_file, read_object
from qlib_shadow_runner.training.trained import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MODEL_DOCUMENT: Final = "MODEL.json"
FORMAT: Final = 1
MODEL_TEXT: Final = FileKind("model", 1 << 30)
"""LightGBM's text: 10 KB for each tree of 64 leaves, so this is 100,000 rounds."""
DAYS: Final = ("trained_through", "validated_through", "data_end")
TEXTS: Final = ("trained_by", "recipe_sha256", "namespace", "class", "dataset", "dataset_fingerprint")


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
            document = read_object(folder, f"{MODEL}/{MODEL_DOCUMENT}", LISTING)
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            raise Unusable(str(error)) from error
        if fault := _form_fault(document):
            raise Unusable(fault)
        return cls(folder / MODEL, document)

    def check(self) -> None:
        """Raise Unusable where a text is not what was written."""
        if fault := first_fault(self.folder, self.files, kind=MODEL_TEXT):
            raise Unusable(fault)

    @property
    def files(self) -> dict[str, str]:
        """Return the hash of each model's text, by its name."""
        return dict(self.document["files"])

    @property
    def details(self) -> dict[str, Any]:
        """Return what the training said of it besides the text: rounds, scores, features."""
        return dict(self.document["details"])

    @property
    def trained_by(self) -> str:
        """Return the id of the run that trained it."""
        return str(self.document["trained_by"])

    def day(self, name: str) -> date:
        """Return the last day of train, of valid, or of the data that the training run had."""
        return date.fromisoformat(self.document[name])

    def listed(self) -> dict[str, str]:
        """Return the hash of each file of the folder, by its path in the run folder."""
        with open_file(self.folder, MODEL_DOCUMENT, LISTING) as stream:
            own = {MODEL_DOCUMENT: sha256_of_stream(stream)}
        return {f"{MODEL}/{name}": digest for name, digest in (self.files | own).items()}


def write_model(folder: Path, texts: Path, facts: Mapping[str, object], staging: Path) -> ModelFolder:
    """Write the model that a run has trained, from the files of its checkpoint."""
    files = hash_files(texts, kind=MODEL_TEXT)
    document = {"format": FORMAT, **facts, "files": files}
    return _place(folder, staging, document, lambda name: copy_file(texts, name, MODEL_TEXT, staging / name))


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
    # NaN is a figure here: a score of nothing.
    write_atomically(staging / MODEL_DOCUMENT, json.dumps(document, indent=2).encode())
    sync_tree(staging)
    target = folder / MODEL
    discard(target)
    staging.rename(target)
    sync_folder(folder)
    return ModelFolder(target, document)


def _form_fault(document: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the form of a document, or None."""
    if document.get("format") != FORMAT:
        return f"{MODEL}/{MODEL_DOCUMENT} has format {document.get('format')!r}, not {FORMAT}"
    files, details = document.get("files"), document.get("details")
    if not isinstance(files, dict) or not isinstance(details, dict):
        return f"{MODEL}/{MODEL_DOCUMENT} lists no models"
    if not files or MODEL_DOCUMENT in files or any("/" in name for name in files):
        return f"{MODEL}/{MODEL_DOCUMENT} lists no models"
    if not DETAILS.get(str(document.get("class")), _is_nothing)(details, len(files)):
        return f"{MODEL}/{MODEL_DOCUMENT} lacks the details of a {document.get('class')}"
    missing = [key for key in TEXTS if not isinstance(document.get(key), str)]
    missing += [key for key in DAYS if not _is_day(document.get(key))]
    return f"{MODEL}/{MODEL_DOCUMENT} lacks {', '.join(missing)}" if missing else None


def _is_nothing(_details: Mapping[str, Any], _models: int) -> bool:
    """Return that there is no such class."""
    return False


def _is_boosted(details: Mapping[str, Any], models: int) -> bool:
    """Say whether these are the details of LGBModel, with the curves that are logged again."""
    curves = details.get("evaluations")
    return (
        models == 1
        and isinstance(details.get("best_iteration"), int)
        and isinstance(details.get("best_score"), dict)
        and isinstance(curves, dict)
        and all(isinstance(of_segment, dict) for of_segment in curves.values())
        and all(_are_numbers(one) for of_segment in curves.values() for one in of_segment.values())
    )


def _is_ensemble(details: Mapping[str, Any], models: int) -> bool:
    """Say whether these are the details of DEnsembleModel: rounds and features of each sub-model."""
    best, features = details.get("best_iterations"), details.get("features")
    if not isinstance(best, list) or not isinstance(features, list):
        return False
    each = _are_numbers(best) and all(isinstance(one, list) for one in features)
    return each and len(best) == len(features) == models


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(one, int | float) for one in values)


DETAILS: Final[Mapping[str, Callable[[Mapping[str, Any], int], bool]]] = {
    "LGBModel": _is_boosted,
    "DEnsembleModel": _is_ensemble,
}
"""What each class restores besides the texts."""


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False
