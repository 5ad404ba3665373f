"""LightGBM's binned datasets, kept in the cache: binning depends on the data and a few parameters alone.

    dataset.bin   what LightGBM writes of a dataset, and reads back unchanged

The key is the hash of the values that are binned, so a run whose dataset gained test days finds the binned
training data of an earlier run. Validation data is binned with the bounds of the training data, whose key is
part of its own.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import TYPE_CHECKING, Any, ClassVar, Final

import lightgbm
import numpy as np

from qlib_shadow_runner.cache.store import NOT_KEPT, Store, StoreDraft
from qlib_shadow_runner.plugins._lightgbm_rows import binned_in_batches
from qlib_shadow_runner.printing import print_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.cache.content import Content
    from qlib_shadow_runner.plugins._training_data import TrainingData

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
"""Dataset parameters whose value says everything; others refer to files or columns."""
ALSO_TREE_PARAMETERS: Final = frozenset(
    {
        *("seed", "random_seed", "random_state"),
        *("min_data_in_leaf", "min_data_per_leaf", "min_data", "min_child_samples", "min_samples_leaf"),
    }
)
"""Tree parameters that change binning too: which rows are sampled, which features are dropped."""
DEVICES: Final = frozenset({"device_type", "device"})


class BinnedStore(Store):
    """The store's entries that hold binned datasets."""

    kind: ClassVar = "binned data"

    def find(self, key: str, params: Mapping[str, Any], reference: lightgbm.Dataset | None) -> Any:
        """Return the dataset that is kept under a key, or None."""
        return self.read(key, lambda folder, _: _load(folder / FILE, params, reference))

    def keep(self, key: str, dataset: lightgbm.Dataset, about: Content) -> str:
        """Publish a dataset, and return `KEPT` or `NOT_KEPT`."""
        draft = StoreDraft(self.staging(key), key)
        try:
            # One byte or less for a value, and for each row its label and other fields.
            self.make_room(dataset.num_data() * (dataset.num_feature() + LABELS))
            draft.make_folder()
            dataset.save_binary(draft.folder / FILE)
        except (OSError, lightgbm.basic.LightGBMError) as error:
            self.warn_not_kept(error)
            draft.discard()
            return NOT_KEPT
        return self.publish(draft, about)


def are_supported(params: Mapping[str, Any]) -> bool:
    """Return whether binning depends on nothing but the values and the parameters that the key holds."""
    elsewhere = any(params.get(name, "cpu") != "cpu" for name in DEVICES)
    return not elsewhere and of_dataset(params).keys() <= SUPPORTED


def of_dataset(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the parameters that LightGBM gives to a dataset."""
    return lightgbm.Dataset(np.empty((0, 0)), params=dict(params)).get_params()


def datasets(
    training_sets: Mapping[str, TrainingData], params: Mapping[str, Any], store: BinnedStore | None
) -> list[tuple[lightgbm.Dataset, str]]:
    """Return the binned datasets with their names, from the store where it has them."""
    found: list[tuple[lightgbm.Dataset, str]] = []
    outcomes = []
    key, reference = "", None
    for name, training_data in training_sets.items():
        key = _key(training_data, params, key) if store else ""
        dataset = store.find(key, params, reference) if store else None
        outcome = "taken from the cache"
        if dataset is None:
            dataset = _bin(training_data, params, reference)
            about = {"rows": len(training_data.rows), "features": len(training_data.features)}
            outcome = store.keep(key, dataset, about) if store else NOT_KEPT
        found.append((dataset, name))
        outcomes.append(f"{name} {outcome}")
        reference = reference or dataset
    if store:
        print_line(f"{store.kind}: {', '.join(outcomes)}")
    return found


def _bin(
    training_data: TrainingData, params: Mapping[str, Any], reference: lightgbm.Dataset | None
) -> lightgbm.Dataset:
    if reference is None and not params.get("linear_tree"):  # linear trees need the values beside the bins
        return binned_in_batches(training_data, params)
    return lightgbm.Dataset(
        training_data.table(), label=training_data.labels, params=dict(params), reference=reference
    ).construct()


def _key(training_data: TrainingData, params: Mapping[str, Any], reference: str) -> str:
    """Return the hash of everything that a binned dataset depends on."""
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
