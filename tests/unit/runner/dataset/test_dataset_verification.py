"""A dataset with any fault is refused with the name of the file."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.dataset.fingerprint import dataset_files, fingerprint, stamp
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.verification import verify_dataset
from qlib_shadow_runner.errors import StageError

MakeDataset = Callable[..., Dataset]
CLOSE = "features/aaa/close.day.bin"


def floats(*values: float) -> bytes:
    """Pack a bin file."""
    return struct.pack(f"<{len(values)}f", *values)


FAULTS = {
    "an empty calendar": ("calendars/day.txt", b"", "day.txt is empty: there are no trading days"),
    "days out of order": (
        "calendars/day.txt",
        b"2020-01-03\n2020-01-02\n",
        "has 2020-01-02 after 2020-01-03",
    ),
    "a day twice": ("calendars/day.txt", b"2020-01-02\n2020-01-02\n", "days must be sorted and unique"),
    "a day that is none": ("calendars/day.txt", b"2020-01-02\nsoon\n", 'line 2 is "soon", not a date'),
    "an empty universe": ("instruments/all.txt", b"", "holds no instruments"),
    "a universe without tabs": ("instruments/all.txt", b"AAA 2020 2021\n", "not SYMBOL, first day, last day"),
    "a life that ends before it begins": (
        "instruments/all.txt",
        b"AAA\t2020-02-01\t2020-01-01\n",
        "line 1: AAA ends on 2020-01-01, before it begins",
    ),
    "a life outside the calendar": (
        "instruments/all.txt",
        b"AAA\t1999-01-04\t1999-02-01\n",
        "outside the calendar 2020-01-01",
    ),
    "a ticker that reads as nothing": (
        "instruments/all.txt",
        b"NA\t2020-01-01\t2020-01-07\n",
        'lists the symbol "NA", which Qlib reads as missing',
    ),
    "a torn file": (CLOSE, floats(0, 1, 1)[:-1], "has 11 bytes; a bin file is float32"),
    "a file of one number": (CLOSE, floats(0), "at least one value"),
    "more days than the calendar": (
        CLOSE,
        floats(0, *[1] * 6),
        "covers days 0 to 5, but the calendar has 5 days",
    ),
    "a start past the end": (CLOSE, floats(4, 1, 1), "covers days 4 to 5"),
    "half a start": (CLOSE, floats(0.5, 1), "begins with the start index 0.5"),
    "a start before the first day": (CLOSE, floats(-1, 1), "begins with the start index -1.0"),
    "an infinite price": (CLOSE, floats(0, float("inf")), "holds infinite values"),
    "a price below zero": (CLOSE, floats(0, 1, -2), "holds a price of -2"),
}


@pytest.mark.parametrize(("file", "content", "sentence"), FAULTS.values(), ids=FAULTS)
def test_fault_names_its_file(make_dataset: MakeDataset, file: str, content: bytes, sentence: str):
    """The user can go and look."""
    dataset = make_dataset(5)
    (dataset.folder / file).write_bytes(content)
    with pytest.raises(StageError) as caught:
        verify_dataset(dataset.folder)
    assert sentence in caught.value.message
    assert str(dataset.folder) in caught.value.message
    assert (caught.value.reason, caught.value.exit_code) == (Reason.DATASET_INVALID, ExitCode.BAD_DATA)


def test_universe_without_any_prices_is_refused(make_dataset: MakeDataset):
    """It would train on nothing."""
    dataset = make_dataset(5, {"all": ["A", "^GSPC"], "empty": ["X"]}, without_features=["X"])
    with pytest.raises(StageError, match=r"holds none of the 1 symbols of instruments/empty.txt"):
        verify_dataset(dataset.folder)


def test_missing_calendar_says_what_a_dataset_needs(tmp_path: Path):
    """The usual reason is a wrong path."""
    with pytest.raises(StageError, match=r"calendars/day.txt is missing. A dataset needs"):
        verify_dataset(tmp_path)


def test_fingerprint_is_a_hash_of_sorted_paths_and_hashes(make_dataset: MakeDataset):
    """Every user can reproduce it with sha256sum."""
    folder = make_dataset(5).folder
    lines = [
        f"{name} {hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n"
        for name in dataset_files(folder)
    ]
    expected = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    assert fingerprint(folder) == verify_dataset(folder).fingerprint == expected


def test_only_the_three_folders_are_the_dataset(make_dataset: MakeDataset):
    """A note or a hidden file beside the data does not make it other data."""
    folder = make_dataset(5).folder
    before = fingerprint(folder)
    (folder / "README").write_text("mine")
    (folder / "instruments" / ".swp").write_text("editor")
    assert fingerprint(folder) == before


def test_stamp_notices_a_write_without_reading(make_dataset: MakeDataset):
    """Size and time are enough to look again."""
    folder = make_dataset(5).folder
    before = stamp(folder)
    (folder / CLOSE).write_bytes(floats(0, 2, 2))
    assert stamp(folder) != before


def test_missing_values_and_short_listings_are_valid(make_dataset: MakeDataset):
    """Suspensions, late listings and delistings are what markets are made of."""
    folder = make_dataset(5).folder
    (folder / CLOSE).write_bytes(floats(2, float("nan"), 3))
    assert verify_dataset(folder).rows == 1 + 5 + 5


@pytest.mark.parametrize("target", ["/nowhere", "zzz", ".."], ids=["dead", "itself", "a circle"])
def test_link_is_refused(make_dataset: MakeDataset, target: str):
    """Wherever it leads: it could leave the volume, or lead nowhere."""
    folder = make_dataset(5).folder
    (folder / "features" / "zzz").symlink_to(target)
    with pytest.raises(StageError, match=r"features/zzz is a link\. Remove it") as caught:
        stamp(folder)
    assert caught.value.reason is Reason.DATASET_INVALID


def test_device_in_place_of_a_file_is_refused(make_dataset: MakeDataset):
    """It would be read for ever."""
    folder = make_dataset(5).folder
    (folder / "features" / "aaa" / "open.day.bin").symlink_to("/dev/zero")
    with pytest.raises(StageError, match=r"open\.day\.bin is a link\. Remove it"):
        stamp(folder)


def test_folders_in_one_another_have_a_limit(make_dataset: MakeDataset):
    """Code that walks through them calls itself for each."""
    folder = make_dataset(5).folder
    (folder / "features" / "z" / Path(*"z" * 101)).mkdir(parents=True)
    with pytest.raises(StageError, match="lies in more than 100 folders") as caught:
        stamp(folder)
    assert caught.value.reason is Reason.DATASET_INVALID


@pytest.mark.parametrize("name", ["calendars/day.txt", "instruments/all.txt"])
def test_lists_have_a_limit(name: str, make_dataset: MakeDataset):
    """A file of holes takes no space on the volume, and all of its size in memory."""
    dataset = make_dataset(5)
    with (dataset.folder / name).open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(StageError, match=r"has 1\.0 TiB, and a .* has at most 16\.0 MiB") as caught:
        verify_dataset(dataset.folder)
    assert caught.value.reason is Reason.DATASET_INVALID


def test_bin_file_is_not_read_beyond_the_calendar(make_dataset: MakeDataset):
    """The same for what should be one value a day."""
    dataset = make_dataset(5)
    with (dataset.folder / CLOSE).open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(StageError, match=r"has 1\.0 TiB, and a .* has at most 64\.0 MiB"):
        verify_dataset(dataset.folder)


def test_name_that_is_not_utf_8_is_reported(make_dataset: MakeDataset):
    """The sentence itself can be written down."""
    folder = make_dataset(5).folder
    (folder / "features" / "\udcff").mkdir()
    with pytest.raises(StageError, match=r"features/\\udcff has a name that is not UTF-8") as caught:
        stamp(folder)
    assert caught.value.reason is Reason.DATASET_INVALID
    assert caught.value.message.encode()
