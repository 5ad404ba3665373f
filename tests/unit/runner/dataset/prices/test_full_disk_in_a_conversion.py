"""A full volume ends the conversion, and no truncated file is published."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.prices import write_qlib as write
from qlib_shadow_runner.dataset.prices.write_qlib import Writer
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from tests.unit.runner.dataset.prices.conftest import Converter

    Bars = Callable[..., pd.DataFrame]

PAGE = 4096


def test_partly_written_file_is_reported_as_a_full_disk(
    convert: Converter, small_volume: Path, bars: Bars, monkeypatch: pytest.MonkeyPatch
):
    """The kernel takes the first page and says so; the second has no room. Later there may be room again."""
    convert.place, convert.out = small_volume, small_volume / "out"
    filler, real = small_volume / "filler", Writer.field

    def leave_one_page(self: Writer, name: str, values: NDArray[np.float64]) -> None:
        with filler.open("wb", buffering=0) as stream:
            if name == "volume":
                with contextlib.suppress(OSError):
                    while stream.write(bytes(PAGE)):
                        pass
                stream.truncate(stream.tell() - PAGE)
        real(self, name, values)
        filler.unlink()

    file = convert.parquet(bars("AAA", 1500))
    monkeypatch.setattr(Writer, "field", leave_one_page)
    with pytest.raises(OSError, match="No space left on device") as caught:
        convert(file)
    assert caught.value.filename == str(convert.out / "features" / "aaa" / "volume.day.bin")


def test_lost_bytes_are_reported(convert: Converter, bars: Bars, monkeypatch: pytest.MonkeyPatch):
    """A file that lost bytes is never published."""

    class Lossy(io.FileIO):
        """Keeps all but the last value."""

        def write(self, content: memoryview) -> int:  # type: ignore[override]
            """Claim to have kept everything."""
            return super().write(content[:-4]) + 4

    monkeypatch.setattr(write, "open", lambda path, *_, **__: Lossy(path, "wb"), raising=False)
    with pytest.raises(StageError, match=r"\.day\.bin has 12 bytes of 16 that were written") as caught:
        convert(convert.parquet(bars("AAA", 3)))
    assert caught.value.reason is Reason.DATASET_INVALID
