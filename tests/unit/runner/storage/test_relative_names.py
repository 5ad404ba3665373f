"""A name that another program wrote stays below the folder that it is joined to."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlib_shadow_runner.storage.relative_names import UnsafeNameError, inside, parts_of

REFUSED = {
    "/etc/passwd": "leads out of the folder",
    "../x": "leads out of the folder",
    "a/../../x": "leads out of the folder",
    "..": "leads out of the folder",
    "": "empty part",
    ".": "empty part",
    "a//b": "empty part",
    "a/./b": "empty part",
    "a/": "empty part",
    "a\\b": "backslash",
    "a\0b": "control character",
    "a\nb": "control character",
    "a\x1b[31mb": "control character",
    "a\x85b": "control character",
    "a\u2028b": "control character",
    "a\udcffb": "control character",
    "x" * 256: "too long",
    "é" * 128: "too long",
    "/".join(["abc"] * 300): "too long",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_could_lead_elsewhere_is_refused_with_a_sentence(name: str):
    """Which holds the name in a form that can be printed."""
    with pytest.raises(UnsafeNameError) as refused:
        inside(Path("/data"), name)
    sentence = str(refused.value)
    assert REFUSED[name] in sentence
    assert sentence.isprintable()
    assert len(sentence) < 700


@pytest.mark.parametrize("name", [None, 7, ["a"], b"a"])
def test_what_is_not_text_is_no_name(name: object):
    """As JSON may hold it."""
    with pytest.raises(UnsafeNameError, match="it is not text"):
        parts_of(name)


@pytest.mark.parametrize(
    "name", ["a", "artifacts/sig_analysis/ic.pkl", "features/^gspc", "..a/b..", "é x", "a:b"]
)
def test_every_other_name_is_joined(name: str):
    """Dots within a part are no way out."""
    assert inside(Path("/data"), name) == Path("/data") / name
    assert "/".join(parts_of(name)) == name
