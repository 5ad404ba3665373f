"""Modules that are imported only when something in them is called, and a qrun that begins so."""

from __future__ import annotations

import subprocess
import sys

from qlib_shadow_runner.stages.launch_qrun import UNUSED

PROGRAM = """
import sys
from qlib_shadow_runner.process.postponed import postpone
postpone(frozenset({"colorsys", "xml.dom"}))
import colorsys
from xml.dom import minidom
from xml.dom.minidom import Document
loaded = {"colorsys", "xml.dom.minidom"}
print(all(type(sys.modules[name]).__name__ == "_Placeholder" for name in loaded))
print(colorsys.rgb_to_hsv(0, 0, 1)[2])
from xml.dom.minidom import Document as real
print(Document().nodeName, real is not Document, type(sys.modules["colorsys"]).__name__)
"""
BEGUN = """
import sys
from qlib_shadow_runner.process.postponed import postpone
from qlib_shadow_runner.stages.launch_qrun import UNUSED
postpone(UNUSED)
import qlib.cli.run
import qlib_shadow_runner.plugins.lightgbm, qlib_shadow_runner.plugins.backtest.exchange
import qlib_shadow_runner.plugins.records
from qlib.data.ops import percentileofscore
print(sorted(name for name in UNUSED if hasattr(sys.modules.get(name), "__file__")))
print(percentileofscore([1, 2, 3, 4], 3), hasattr(sys.modules["scipy.stats"], "__file__"))
"""


def lines(program: str) -> list[str]:
    """Return what a program prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_postponed_module_is_loaded_when_something_in_it_is_called():
    """From then on every import gives the module itself."""
    assert lines(PROGRAM) == ["True", "1", "#document True module"]


def test_qrun_begins_without_what_no_run_uses_and_can_still_use_it():
    """Qlib's own Rank needs scipy.stats; nothing else of a training does."""
    assert UNUSED
    assert lines(BEGUN)[-2:] == ["[]", "75.0 True"]
