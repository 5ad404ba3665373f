"""`python -m tests.unit.runner.pickles.fuzz SEED ROUNDS FOLDER`: random pickles, read as by the child.

Most of them are real pickles that were cut, spliced, bent and filled with opcodes, the others are programs of
random opcodes. One process reads them all, closed and limited like the child, and then looks at what has
changed in it. It writes a length and an answer for each that was accepted, and what it found as JSON.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import struct
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from qlib_shadow_runner.pickles import __main__ as child
from qlib_shadow_runner.pickles.answer import Answer
from qlib_shadow_runner.pickles.closed import close_self
from qlib_shadow_runner.pickles.files import FILES
from qlib_shadow_runner.pickles.limits import limit_self
from qlib_shadow_runner.pickles.machine import ACTIONS, read_pickle
from qlib_shadow_runner.pickles.nodes import Unrecognised
from qlib_shadow_runner.pickles.recorded import FINDERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALLOWANCE: Final = 256 << 20
"""Bytes that reading may take beside what NumPy and pandas have mapped."""
WATCHED: Final = (
    pd, pd.DataFrame, pd.Series, pd.Index, pd.MultiIndex, pd.DatetimeIndex, pd.Timestamp, np, np.ndarray,
    np.dtype, sys.modules["builtins"], sys.modules["os"], sys, dict, list, str, int, child, types,
)  # fmt: skip
CODES: Final = bytes([*ACTIONS, *b"h\x94jC\x86R.", *b"PQ\x82\x83\x84\x97\x98IFLSTUVgilop\xff"])
SHAPING: Final = (*(bytes([code]) for code in b"()]}Nt\x85\x86\x87R\x81bsuae\x9402\x93"),)
"""The opcodes that make one thing of others."""
NAMES: Final = (
    "numpy.dtype", "numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer", "pandas.DataFrame", "pandas.Index", "pandas.MultiIndex",
    "builtins.slice", "pandas.core.indexes.base._new_Index", "pandas.core.internals.managers.BlockManager",
    "builtins.bytearray", "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked", "pyarrow.lib._restore_array",
    "pyarrow.lib.py_buffer", "os.system", "builtins.eval", "builtins.setattr",
    "pandas._libs.tslibs.timestamps._unpickle_timestamp",
)  # fmt: skip


def programs(folder: Path, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield pickles without end, each with the file that it is to be read as."""
    seeds = [
        (FILES[int(path.name.partition("-")[0])], path.read_bytes()) for path in sorted(folder.glob("*.seed"))
    ]
    contents = [content for _, content in seeds]
    while True:
        file, content = dice.choice(seeds)
        if dice.random() < 0.2:
            file = dice.choice(FILES)
        yield file, made_up(dice) if dice.random() < 0.3 else bent(content, contents, dice)


def bent(real: bytes, seeds: list[bytes], dice: random.Random) -> bytes:
    """Return a real pickle after a few accidents."""
    content = bytearray(real)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        at, size = dice.randrange(len(content)), dice.choice((1, 2, 4, 8, 60))
        accident = dice.randrange(6)
        if accident == 0:
            content[at] = dice.randrange(256)
        elif accident == 1:
            content[at : at + size] = dice.randbytes(size)
        elif accident == 2:
            del content[at : at + size]
        elif accident == 3:
            other = dice.choice(seeds)
            begin = dice.randrange(len(other))
            content[at:at] = other[begin : begin + size]
        elif accident == 4:
            content[at:at] = made_up(dice, length=3)[2:-1]
        else:
            content[at:at] = content[at : at + size]
        if not content:
            return b""
    return bytes(content)


def made_up(dice: random.Random, length: int | None = None) -> bytes:
    """Return a program of random opcodes, with arguments as they should be, most of the time."""
    content = bytearray(b"\x80\x04")
    for _ in range(length or dice.randint(1, 60)):
        content += opcode(dice)
    return bytes(content + b".")


def opcode(dice: random.Random) -> bytes:
    """Return one opcode with its arguments."""
    kind = dice.randrange(10)
    if kind == 0:
        module, _, name = dice.choice(NAMES).rpartition(".")
        return f"c{module}\n{name}\n".encode()
    if kind == 1:
        text = dice.choice(
            (*NAMES, "f8", "<", "O8", "b", "_mgr", "data", "levels", "codes", "weight", "\u00e4", "")
        )
        return b"X" + struct.pack("<I", len(text.encode())) + text.encode()
    if kind == 2:
        return b"J" + struct.pack("<i", dice.choice((0, 1, 2, 3, -1, 1 << 30, dice.randrange(100))))
    if kind == 3:
        data = dice.randbytes(dice.choice((0, 1, 8, 16)))
        return b"C" + bytes([len(data)]) + data
    if kind == 4:
        return dice.choice((b"h", b"q")) + bytes([dice.randrange(12)])
    return dice.choice((*SHAPING, bytes([dice.choice(CODES)])))


def attributes() -> dict[str, object]:
    """Return every attribute of what is watched."""
    return {
        f"{place} {name}": value for place, one in enumerate(WATCHED) for name, value in vars(one).items()
    }


def read_all(rounds: int, pickles: Iterator[tuple[str, bytes]], stream: Any) -> Mapping[str, object]:
    """Return how many were accepted and refused, and each error that is none of the reader's."""
    accepted = refused = 0
    errors = []
    for _, (file, content) in zip(range(rounds), pickles, strict=False):
        try:
            tables = FINDERS[file](read_pickle(content))
        except Unrecognised:
            refused += 1
            continue
        except Exception as error:  # noqa: BLE001 - what is looked for
            errors.append([content.hex(), file, f"{type(error).__name__}: {error}"])
            continue
        accepted += 1
        written = io.BytesIO()
        answer = Answer(written)
        for name, columns in tables.items():
            answer.add(name, columns)
        answer.finish()
        stream.write(struct.pack("<Q", len(written.getvalue())) + written.getvalue())
    return {"accepted": accepted, "refused": refused, "errors": errors}


def main(seed: int, rounds: int, folder: Path) -> None:
    """Read them, and write what was found."""
    dice = random.Random(seed)
    pickles = programs(folder, dice)
    next(pickles)  # reads the files
    stream = (folder / "answers").open("wb")
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    modules, before = set(sys.modules), attributes()
    limit_self(mapped + ALLOWANCE, 60 + rounds // 100)
    close_self()
    found = read_all(rounds, pickles, stream)
    stream.close()
    after = attributes()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) is not after.get(name))
    imported = sorted(set(sys.modules) - modules)
    sys.stdout.write(json.dumps({**found, "changed": changed, "imported": imported}))
    sys.stdout.flush()
    os._exit(0)  # ending in the usual way is refused by now


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
