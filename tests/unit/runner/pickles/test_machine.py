"""Pickles are read as Python reads them, but what they would make is only noted."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlib_shadow_runner.pickles.arrays import bytes_of
from qlib_shadow_runner.pickles.machine import read_pickle
from qlib_shadow_runner.pickles.nodes import Made, Pairs, Unrecognised

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner)
    ),
    max_leaves=20,
)


def plain(node: object) -> Any:
    """Return what was described, where it is of Python's own kinds."""
    if isinstance(node, Pairs):
        return {plain(key): plain(value) for key, value in node}
    if isinstance(node, Made):
        return bytes_of(node)
    if type(node) is tuple:
        return tuple(map(plain, node))
    return list(map(plain, node)) if type(node) is list else node


@settings(max_examples=60, deadline=None)
@given(VALUES, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_values_are_those_that_were_pickled(value: object, protocol: int):
    """Of every kind, in every version of the format."""
    assert plain(read_pickle(pickle.dumps(value, protocol))) == value


def test_sets_are_kept_as_lists():
    """Their items would have to be hashed."""
    for kind in (set, frozenset):
        assert sorted(plain(read_pickle(pickle.dumps(kind({1, 2, 3}), 4)))) == [1, 2, 3]


def test_references_are_kept():
    """A list that holds itself, and one object in two places."""
    inner: list[object] = []
    inner.append(inner)
    found: Any = read_pickle(pickle.dumps([inner, inner]))
    assert found[0] is found[1]
    assert found[0][0] is found[0]


CALL = pickle.dumps(ValueError("x"))
REFUSED = {
    "nothing": b"",
    "a persistent id": b"\x80\x04X\x01\x00\x00\x00aQ.",
    "a persistent id by line": b"\x80\x04P1\n.",
    "an extension": b"\x80\x04\x82\x01.",
    "a buffer from outside": b"\x80\x05\x97.",
    "a buffer that is read only": b"\x80\x05\x98.",
    "a text of Python 2": b"U\x01a.",
    "a newer format": b"\x80\x06N.",
    "a text that is none": b"\x80\x04\x8c\x01\xff.",
    "half a surrogate": b"\x80\x04\x8c\x03\xed\xa0\x80.",
    "a memo with a gap": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a memo that does not exist": b"\x80\x04h\x00.",
    "more bytes than there are": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
    "more text than there is": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b".",
    "a number of more bytes than there are": b"\x80\x04\x8b\xff\xff\xff\x7f.",
    "a tuple of nothing": b"\x80\x04\x85.",
    "a value too few": b"\x80\x04}Nu.",
    "an odd pair": b"\x80\x04}(Nu.",
    "an item of a number": b"\x80\x04K\x01Na.",
    "a pair of a list": b"\x80\x04]NNs.",
    "a state of a class": b"\x80\x04cpandas\nIndex\nN}\x86b.",
    "a state of a list": b"\x80\x04]}b.",
    "a class without a text": b"\x80\x04NN\x93.",
    "no mark": b"\x80\x04t.",
    "no end": b"\x80\x04N",
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_what_is_no_pickle_of_a_recorder_is_refused(content: bytes):
    """With a sentence, and no other error."""
    with pytest.raises(Unrecognised):
        read_pickle(content)


def test_cut_pickle_is_refused_wherever_it_ends():
    """No cut pickle is taken for a shorter one."""
    for end in range(len(CALL)):
        with pytest.raises(Unrecognised):
            read_pickle(CALL[:end])


def test_keys_are_not_hashed():
    """The hash of tuples of tuples takes time that doubles with each, and a deep one overflows the stack."""
    twice = b"\x80\x04})" + b"2\x86" * 5_000 + b"Ns."
    deep = b"\x80\x04})" + b"\x85" * 300_000 + b"Ns."
    for content in (twice, deep):
        found = read_pickle(content)
        assert isinstance(found, Pairs)
        assert len(found) == 1


def test_what_a_pickle_names_is_only_noted():
    """Class, arguments and state are values; the class is not looked for."""
    found: Any = read_pickle(b"\x80\x04cno.such.module\nThing\n(K\x01\x8c\x01at\x81}\x8c\x01bK\x02sb.")
    assert (found.maker.path, found.arguments, found.state) == ("no.such.module.Thing", (1, "a"), [("b", 2)])
