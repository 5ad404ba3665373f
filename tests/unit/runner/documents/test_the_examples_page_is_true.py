"""docs/qlib-examples.md agrees with the tables of `adopt`; `make qlib-examples` makes it from Qlib's."""

from __future__ import annotations

import re

from tests.bench.qlib_examples import PAGE

from qlib_shadow_runner.adopt.classes import HANDLERS, MODELS, PACKAGES, STRATEGIES

TEXT = PAGE.read_text()
ROWS = dict(re.findall(r"^\| `([\w/.]+)` \| (.*) \|$", TEXT, re.MULTILINE))


def test_what_an_example_needs_is_what_a_run_does_not_take():
    """A class that is allowed later makes the page stale."""
    taken = {name for table in (MODELS, HANDLERS, STRATEGIES) for _, name in table}
    needed = set(re.findall(r"needs the (?:model|handler|strategy) (\w+)", TEXT))
    assert "CatBoostModel" in needed
    assert not needed & taken
    assert set(re.findall(r"\((\w[\w-]*)\) \|", TEXT)) == set(PACKAGES.values())


def test_daily_examples_of_lightgbm_and_doubleensemble_are_adopted():
    """All of them, and the count is that of the rows."""
    adopted = {name for name, outcome in ROWS.items() if outcome == "adopted"}
    ours = {name for name in ROWS if re.search("/(LightGBM|DoubleEnsemble)/", name)}
    assert ours - adopted == {name for name in ours if name.endswith("multi_freq.yaml")}
    assert f"\n{len(adopted)} of {len(ROWS)} are adopted" in TEXT
