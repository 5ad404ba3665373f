"""The key of a matrix changes with everything that its values depend on, and with nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qlib_shadow_runner
from qlib_shadow_runner.cache.key import MatrixIdentity
from qlib_shadow_runner.engine.matrix import Universe


def key_of(root: Path, **other: object) -> str:
    """Return the key of a small request, or of one that differs."""
    asked = {
        "root": root,
        "universe": Universe(("AAA",), ("aaa",), (((0, 5),),)),
        "span": (0, 5),
        "columns": (("feature", "A", "$close"),),
    }
    return MatrixIdentity(**(asked | other)).key()  # type: ignore[arg-type]


def test_key_follows_request_and_data(make_dataset: object, tmp_path: Path):
    """Every part of the request and of the data counts; the folder of the data does not."""
    root = make_dataset(30).folder  # type: ignore[operator]
    key = key_of(root)
    others = [
        key_of(root, span=(0, 4)),
        key_of(root, columns=(("feature", "A", "$open"),)),
        key_of(root, columns=(("feature", "B", "$close"),)),
        key_of(root, universe=Universe(("AAA",), ("aaa",), None)),
        key_of(root, universe=Universe(("BBB",), ("bbb",), (((0, 5),),))),
    ]
    assert len({key, *others}) == 6
    shutil.copytree(root, tmp_path / "elsewhere")
    assert key_of(tmp_path / "elsewhere") == key
    (tmp_path / "elsewhere" / "features" / "aaa" / "close.day.bin").write_bytes(bytes(124))
    assert key_of(tmp_path / "elsewhere") != key


PACKAGE = Path(qlib_shadow_runner.__path__[0])
CODE = "from qlib_shadow_runner.cache import key; print(key.__file__, key.code_version())"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the package, with a module in a subfolder of the engine."""
    copied = tmp_path / "copy" / PACKAGE.name
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "engine" / "more").mkdir()
    (copied / "engine" / "more" / "one.py").write_text("ONE = 1\n")
    return copied


def code_version(copied: Path) -> str:
    """Return the code version that a process of its own computes with a copy of the package."""
    environ = {**os.environ, "PYTHONPATH": str(copied.parent)}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    file, found = done.stdout.split()
    assert file == str(copied / "cache" / "key.py")
    return found


def test_code_version_ignores_other_packages(copy: Path):
    """Rewording a docstring of the cache, the plugins or the workflow keeps every matrix."""
    before = code_version(copy)
    others = [*copy.glob("cache/*.py"), *copy.glob("plugins/**/*.py"), *copy.glob("workflow/**/*.py")]
    assert len(others) > 30
    for path in others:
        path.write_text(path.read_text() + '"""Reworded."""\n')
    assert code_version(copy) == before


def test_code_version_follows_the_engine_in_subfolders(copy: Path):
    """A file that is changed, moved or added anywhere below the engine gives another version."""
    versions = [code_version(copy)]
    nested = copy / "engine" / "more" / "one.py"
    nested.write_text("ONE = 2\n")
    versions.append(code_version(copy))
    nested.rename(copy / "engine" / "one.py")
    versions.append(code_version(copy))
    (copy / "engine" / "more" / "two.py").write_text("")
    versions.append(code_version(copy))
    (copy / "engine" / "notes.txt").write_text("not code")
    assert code_version(copy) == versions[-1]
    assert len(set(versions)) == len(versions)
