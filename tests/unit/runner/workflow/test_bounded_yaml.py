"""Untrusted YAML is read as qrun reads it, anchors included; what stands for too much is refused."""

from __future__ import annotations

import contextlib
import os
import random
from datetime import date

import pytest
from ruamel.yaml import YAML
from tests.unit.runner.workflow.workflow_builders import own

from qlib_shadow_runner.contract.yaml_limits import LARGEST, Unreadable
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.bounded_yaml import LIMITS, load_bounded
from qlib_shadow_runner.workflow.prepare import render_without_data

ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_FILES", "60"))
ANCHORED = """\
market: &market csi300
days: &days [2008-01-01, 2014-12-31]
usual: &usual
    start_time: 2008-01-01
    instruments: *market
    steps: &steps
        - {class: DropnaLabel}
more: &more
    <<: *usual
    start_time: 2010-01-04
task:
    train: *days
    handler: {<<: [*more, *usual], fit: *days}
    steps: [*steps, *steps]
"""
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
PIECES = [
    *("&a", "*a", "<<: *market", "!", "!!x", "%", "%YAML 1.1\n---\n", "? ", "- ", ": ", "\n", "\t", "{", "]"),
    *("|", ">", "'", '"', "\x00", "\ud800", "\u2028", "\x85", "1e999", "0x", "2020-13-01", "..."),
]
MERGED = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{n}: &a{n} {{k{n}: {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}}}\n" for n in range(1, 9)
)


def test_anchors_and_merge_keys_are_resolved_as_qrun_resolves_them():
    """By the same parser: the last of two values wins, and a merge key gives way."""
    found = load_bounded(ANCHORED)
    assert found == YAML(typ="safe", pure=True).load(ANCHORED)
    assert isinstance(found, dict)
    handler = found["task"]["handler"]
    assert (handler["start_time"], handler["instruments"]) == (date(2010, 1, 4), "csi300")


def test_template_with_anchors_is_the_workflow_that_they_stand_for():
    """It is vetted, compared with the spec and hashed as if each value were written where it is used."""
    days = "          start_time: {{ segments.train[0] }}\n          end_time: {{ segments.test[1] }}\n"
    anchored = days.replace("{{ segments.train", "&first {{ segments.train") + "          <<: {freq: day}\n"
    fit = ("fit_start_time: {{ segments.train[0] }}", "fit_start_time: *first")
    found = render_without_data(parse_spec({}), own((days, anchored), fit)).workflow
    plain = render_without_data(parse_spec({}), own((days, days + "          freq: day\n"))).workflow
    assert "*first" in found.text
    assert found.document == plain.document
    assert found.config_hash("f") == plain.config_hash("f")


def test_places_of_one_anchor_share_nothing():
    """A change of one place is no change of another."""
    found = load_bounded(ANCHORED)
    assert isinstance(found, dict)
    found["task"]["train"].append("x")
    found["task"]["handler"]["steps"][0]["class"] = "y"
    assert len(found["days"]) == 2
    assert found["usual"]["steps"] == [{"class": "DropnaLabel"}]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, f"stands for more than {LIMITS.nodes:,} keys and values at line 6"),
        (MERGED, "stands for more than"),
        ("a: &a [*a]", "has the YAML alias a at line 1 inside of what it stands for"),
        ("a: &a\n  b: {<<: *a}", "has the YAML alias a at line 2 inside of what it stands for"),
        ("a: *b\nb: &b 1", "has the YAML alias b at line 1, and no anchor of this name before it"),
        ("[" * 25 + "]" * 25, f"is nested deeper than {LIMITS.depth} levels at line 1"),
        (
            "a: &a " + "[" * 12 + "]" * 12 + "\nb: " + "[" * 12 + "*a" + "]" * 12,
            "deeper than 24 levels at line 2",
        ),
        ("a: " + "x" * LARGEST, f"is larger than {LARGEST:,} bytes"),
        ("a: !!python/tuple [1]", "has the YAML tag"),
        ("a: [", "is not YAML at line 1"),
        ("a: 1\nb: 'x\x07'", "is not YAML at line 2: it has a character that YAML does not allow"),
        ("a: 2020-02-30", "holds a value that is none"),
        ("? {b: 1}\n: 2", "is not YAML at line 1: found unhashable key"),
    ],
)
def test_text_beyond_a_limit_is_refused_before_it_is_built(text: str, sentence: str):
    """In the middle of a sentence, with the line."""
    with pytest.raises(Unreadable) as caught:
        load_bounded(text)
    assert sentence in str(caught.value)


def test_deepest_text_is_read():
    """The limits are those that the sentences state."""
    assert load_bounded("[" * LIMITS.depth + "1" + "]" * LIMITS.depth)
    assert load_bounded("a: &a [1, 2]\na: &b [*a]\nb: &a 3\nc: *a".replace("a: &b", "d: &b")) == {
        "a": [1, 2],
        "d": [[1, 2]],
        "b": 3,
        "c": 3,
    }


def test_random_damage_gives_a_value_or_a_sentence():
    """Whatever the parser stumbles over."""
    generator = random.Random(7)
    for _ in range(ROUNDS):
        text = list(ANCHORED)
        for _ in range(generator.randint(1, 6)):
            place = generator.randrange(len(text))
            text[place : place + generator.choice([0, 0, 1, 9])] = [generator.choice(PIECES)]
        with contextlib.suppress(Unreadable):  # any other error fails the test
            load_bounded("".join(text))
