"""Every package in the images has an approved licence; any other is refused by name."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPROVED = "Classifier: License :: OSI Approved"
LOCKS = (ROOT / "requirements/runner.lock", ROOT / "requirements/operator.lock")


def licences(folder: str | Path, *locks: Path) -> tuple[int, str, str]:
    """Run the check as make and the image builds do."""
    command = [sys.executable, ROOT / "images/build/licences.py", folder, *locks]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder with one package for each way to declare a licence."""
    told = {
        "spdx": "License-Expression: MIT OR (Apache-2.0 AND BSD-3-Clause)",
        "short": "License: Apache 2.0",
        "text": f"License: Copyright its authors\n        all of it\n{APPROVED} :: BSD License",
        "classified": f"{APPROVED}\n{APPROVED} :: MIT License",
    }
    for name, lines in told.items():
        write(tmp_path, name, lines)
    return tmp_path


def write(folder: Path, name: str, lines: str) -> None:
    """Install a package that has only its metadata."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{lines}\n")


def test_every_package_of_the_images_has_an_approved_licence():
    """A new version brings no copyleft unnoticed, and no exception remains without need."""
    code, table, faults = licences(sysconfig.get_path("purelib"), *LOCKS)
    assert (code, faults) == (0, "")
    assert table.count("\n| ") > 80


def test_licence_is_read_from_any_kind_of_metadata(site: Path):
    """As an expression, a name, a classifier; a whole text is not a name."""
    code, table, _ = licences(site)
    assert code == 0
    rows = dict(line.strip("| ").split(" | 1.0 | ") for line in table.splitlines()[2:])
    assert rows == {
        "spdx": "MIT OR (Apache-2.0 AND BSD-3-Clause)",
        "short": "Apache-2.0",
        "text": "BSD-3-Clause",
        "classified": "MIT",
    }


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("License-Expression: GPL-3.0-or-later", "GPL-3.0-or-later"),
        ("License-Expression: MIT AND LGPL-2.1-only", "MIT AND LGPL-2.1-only"),
        ("License-Expression: MIT OR GPL-2.0-only", "MIT OR GPL-2.0-only"),
        (
            "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
            "GNU Affero General Public",
        ),
        ("License: see the file", "see the file"),
        ("Summary: says nothing", "nothing that it tells"),
        ("License: UNKNOWN", "nothing that it tells"),
    ],
)
def test_unapproved_licence_is_refused(site: Path, lines: str, said: str):
    """One sentence with the package, its licence and the file to write it into."""
    write(site, "surprise", lines)
    code, _, faults = licences(site)
    assert code == 1
    assert faults.startswith(f"surprise 1.0 is licensed as '{said}")
    assert faults.endswith("or name it in requirements/licences.toml with the reason\n")
    assert faults.count("\n") == 1


def test_an_exception_is_for_one_package_with_one_licence(site: Path):
    """Certifi may be MPL-2.0; no other package may, and certifi may have no other licence."""
    write(site, "certifi", "License: MPL-2.0")
    assert licences(site)[0] == 0
    write(site, "other", "License: MPL-2.0")
    assert "other 1.0" in licences(site)[2]
    (site / "certifi-1.0.dist-info/METADATA").write_text("Name: certifi\nVersion: 1.0\nLicense: GPL\n")
    assert "certifi 1.0 is licensed as 'GPL'" in licences(site)[2]


def test_unused_exception_is_refused(site: Path, tmp_path: Path):
    """If all locked packages are installed."""
    write(site, "certifi", "License: MIT")
    (tmp_path / "some.lock").write_text("certifi==1.0 \\\nshort==1.0 \\\n")
    code, _, faults = licences(site, tmp_path / "some.lock")
    assert code == 1
    assert "certifi is an exception as 'MPL-2.0'" in faults
    assert "says 'MIT' now" in faults
    assert "tqdm is an exception" in faults
    assert "is no longer installed" in faults
