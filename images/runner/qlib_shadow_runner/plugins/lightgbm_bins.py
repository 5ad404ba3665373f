"""LightGBM's datasets, binned once: what is done before the first tree follows from data and few parameters.

    dataset.bin   what LightGBM writes of a dataset, and reads back as it was

The name is the hash of the very values that would be binned, whatever data they come from: a night that
adds days to the test finds the training of the night before. What is validated with is binned by the bounds
of what is trained on, whose name is part of its own. Loaded by qrun; knows LightGBM.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final

import lightgbm
import numpy as np

from qlib_shadow_runner.cache.store import NOT_KEPT, Store, StoreDraft

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.cache.store import Content
    from qlib_shadow_runner.plugins.training_data import TrainingData

FILE: Final = "dataset.bin"
VERSION: Final = 1
LABELS: Final = 8
SUPPORTED: Final = frozenset(
    {
        *("max_bin", "max_bins"),
        "min_data_in_bin",
        *("bin_construct_sample_cnt", "subsample_for_bin"),
        *("data_random_seed", "data_seed"),
        *("feature_pre_filter", "use_missing", "zero_as_missing"),
        *("enable_bundle", "is_enable_bundle", "bundle"),
        *("is_enable_sparse", "is_sparse", "enable_sparse", "sparse"),
    }
)
"""Parameters of a dataset that say no more than their value; others name files or columns."""
ALSO_TREE_PARAMETERS: Final = frozenset(
    {
        *("seed", "random_seed", "random_state"),
        *("min_data_in_leaf", "min_data_per_leaf", "min_data", "min_child_samples", "min_samples_leaf"),
    }
)
"""Parameters of the trees that have a say: which rows are looked at, which features are left out."""
DEVICES: Final = frozenset({"device_type", "device"})


class BinnedStore(Store):
    """The binned datasets on a shelf."""

    kind: ClassVar = "binned data"

    def find(self, key: str, params: Mapping[str, Any], reference: lightgbm.Dataset | None) -> Any:
        """Give the dataset that is kept under a key."""
        return self.read(key, lambda folder, _: _load(folder / FILE, params, reference))

    def keep(self, key: str, dataset: lightgbm.Dataset, about: Content) -> str:
        """Publish a dataset, and say what became of it."""
        draft = StoreDraft(self.staging(key), key)
        try:
            # A byte for a value or less, and for each row its label, among other things.
            self.make_room(dataset.num_data() * (dataset.num_feature() + LABELS))
            draft.make_folder()
            dataset.save_binary(draft.folder / FILE)
        except (OSError, lightgbm.basic.LightGBMError) as error:
            self.warn_not_kept(error)
            draft.discard()
            return NOT_KEPT
        return self.publish(draft, about)


def are_supported(params: Mapping[str, Any]) -> bool:
    """Say whether nothing but the values and these parameters has a say in binning."""
    elsewhere = any(params.get(name, "cpu") != "cpu" for name in DEVICES)
    return not elsewhere and of_dataset(params).keys() <= SUPPORTED


def of_dataset(params: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters that LightGBM takes for those of a dataset."""
    return lightgbm.Dataset(np.empty((0, 0)), params=dict(params)).get_params()


def datasets(
    training_sets: Mapping[str, TrainingData], params: Mapping[str, Any], store: BinnedStore | None
) -> list[tuple[lightgbm.Dataset, str]]:
    """Bin what is trained on, and by its bounds what is validated with, or take it from the shelf."""
    found: list[tuple[lightgbm.Dataset, str]] = []
    told = []
    key, reference = "", None
    for name, training_data in training_sets.items():
        key = _key(training_data, params, key) if store else ""
        dataset = store.find(key, params, reference) if store else None
        became = "taken from the cache"
        if dataset is None:
            dataset = _bin(training_data, params, reference)
            about = {"rows": len(training_data.rows), "features": len(training_data.features)}
            became = store.keep(key, dataset, about) if store else "not kept"
        found.append((dataset, name))
        told.append(f"{name} {became}")
        reference = reference or dataset
    if store:
        sys.stdout.write(f"{store.kind}: {', '.join(told)}\n")
    return found


def _bin(
    training_data: TrainingData, params: Mapping[str, Any], reference: lightgbm.Dataset | None
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        training_data.table(), label=training_data.labels, params=dict(params), reference=reference
    ).construct()


def _key(training_data: TrainingData, params: Mapping[str, Any], reference: str) -> str:
    """Name a dataset by all that it follows from."""
    trees = {name: value for name, value in params.items() if name in ALSO_TREE_PARAMETERS}
    document = {
        "values": training_data.digest(),
        "params": {**of_dataset(params), **trees},
        "reference": reference,
        "version": VERSION,
        "lightgbm": lightgbm.__version__,
        "machine": platform.machine(),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def _load(path: Path, params: Mapping[str, Any], reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
    try:
        return lightgbm.Dataset(str(path), params=dict(params), reference=reference).construct()
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(str(error)) from error
