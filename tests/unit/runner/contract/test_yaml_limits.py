"""What a YAML document may hold is counted before any of it is built, by each command that reads one."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from ruamel.yaml import YAML

from qlib_shadow_operator.schedule.parse_schedule import ScheduleError, parse_schedule
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli.run_manifest import load_manifest, read_documents
from qlib_shadow_runner.cli.user_template import user_template_text
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.yaml_limits import Unreadable, YamlLimits
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.read_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Callable

LAUGHS = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine lines that stand for four hundred million numbers."""
TOO_LARGE = {
    "a list": ("a: 1\nb: [" + "a, " * 10_000 + "]", "stands for more than 10,000 keys and values at line 2"),
    "a mapping": (
        "".join(f"a{number}: 1\n" for number in range(5_000)),
        "10,000 keys and values at line 5000",
    ),
    "documents": ("---\n" * 5_002, "stands for more than 10,000 keys and values at line 5001"),
    "aliases of aliases": (
        LAUGHS,
        "10,000 keys and values at line 5, aliases counted each time; write fewer",
    ),
    "merges": ("a: &a {b: 1}\nc: {<<: [" + "*a, " * 5_000 + "]}", "10,000 keys and values at line 2"),
    "an alias of a long text": (
        "a: &a " + "b" * 100_000 + "\nc: [" + "*a, " * 99 + "]",
        "stands for more than 1,048,576 characters at line 2, aliases counted each time; write fewer",
    ),
    "an alias of itself": ("a: 1\nb: &b [*b]", "has the YAML alias b at line 2 inside of what"),
    "an alias of what is around it": (
        "b: &b {c: [{d: *b}]}",
        "has the YAML alias b at line 1 inside of what",
    ),
    "brackets": ("a: 1\nb: " + "[" * 60, "is nested deeper than 50 levels at line 2"),
    "a number of sixties": (
        "a: 1" + ":1" * 1000,
        "a number of 2,001 digits at line 1; write a smaller one",
    ),
    "a number in quotes": ("a: '1" + ":1" * 1000 + "'", "holds a number of 2,001 digits at line 1"),
    "a tag": ("a: 1\nb: !!timestamp x", "has the YAML tag tag:yaml.org,2002:timestamp at line 2"),
    "a tag of a list": ("a: !!set [1]", "has the YAML tag tag:yaml.org,2002:set at line 1; leave tags out"),
    "an alias of nothing": ("a: 1\nb: *a", "has the YAML alias a at line 2, and no anchor of this name"),
    "aliases in brackets": (
        "a: &a " + "[" * 30 + "]" * 30 + "\nb: " + "[" * 30 + "*a",
        "50 levels at line 2",
    ),
}
PARSERS: dict[str, Callable[[str], object]] = {
    "PyYAML": lambda text: yaml.parse(text, yaml.SafeLoader),
    "ruamel": lambda text: YAML(typ="safe", pure=True).parse(text),
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(("text", "sentence"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_document_that_stands_for_too_much_is_refused(parser: str, text: str, sentence: str):
    """With what it is and its line, by the events of either parser."""
    with pytest.raises(Unreadable) as caught:
        YamlLimits(nodes=10_000, depth=50).check(PARSERS[parser](text))  # type: ignore[arg-type]
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {b: [1, 2]}\nc: *a\nd: {<<: *a, e: *a}",
        "a: &a 1\n---\na: &a 2\nb: *a",
        "a: " + "0123456789abcdef" * 100,
        "a: '2020-01-02'\nb: 1:30:00\nc: " + "1" * 300,
        "- " * 40 + "a",
        "a: !!str 1",
    ],
)
def test_a_usual_document_is_within_the_limits(text: str):
    """Aliases, several documents, hashes and times."""
    for events in PARSERS.values():
        YamlLimits(nodes=100, depth=50).check(events(text))  # type: ignore[arg-type]


def document(source: random.Random, depth: int, anchors: list[str]) -> str:
    """Return a random document in which aliases stand for earlier parts."""
    kind = source.randrange(4) if depth else 0
    if kind == 3:
        return f"*{source.choice(anchors)} " if anchors else "1"
    parts = [document(source, depth - 1, anchors) for _ in range(source.randrange(4))] if kind else []
    pairs = (f"k{place}: {part}" for place, part in enumerate(parts))
    content = ("'text'", f"[{', '.join(parts)}]", f"{{{', '.join(pairs)}}}")[kind]
    if source.random() < 0.5:
        anchors.append(f"a{len(anchors)}")
        return f"&{anchors[-1]} {content}"
    return content


def size(value: object) -> int:
    """Return how many keys and values there are."""
    if isinstance(value, dict):
        return 1 + sum(1 + size(part) for part in value.values())
    return 1 + sum(map(size, value)) if isinstance(value, list) else 1


def test_random_documents_are_counted_as_they_are_built():
    """To the last value, with aliases of aliases."""
    for number in range(int(os.environ.get("QLIB_SHADOW_CHAOS_DOCUMENTS", "60"))):
        text = document(random.Random(number), 6, [])
        nodes = 1 + size(yaml.load(text, yaml.CSafeLoader))
        for events in PARSERS.values():
            YamlLimits(nodes, depth=50).check(events(text))  # type: ignore[arg-type]
            with pytest.raises(Unreadable):
                YamlLimits(nodes - 1, depth=50).check(events(text))  # type: ignore[arg-type]


def test_a_manifest_over_a_limit_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of every command that reads one."""
    file = tmp_path / "run.yaml"
    for text, sentence in TOO_LARGE.values():
        file.write_text(text)
        with pytest.raises(StageError) as caught:
            read_documents(file)
        assert caught.value.reason is Reason.INVALID_SPEC
        assert sentence in caught.value.message
    for command in ("validate", "run", "render", "download"):
        file.write_text(LAUGHS)
        assert main([command, str(file)]) == 10
        assert capsys.readouterr().err.startswith(
            f"qlib-shadow: InvalidSpec: {file} stands for more than 10,000 keys"
        )


def test_files_are_not_read_beyond_their_limits(tmp_path: Path):
    """A file that is larger than the memory."""
    huge, sample = tmp_path / "huge.yaml", Path("manifests/samples/own-template.yaml")
    with huge.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(StageError, match="holds more than 1,048,576 bytes; shorten it"):
        read_documents(huge)
    with pytest.raises(StageError, match="holds more than 65,536 bytes, which is what a template may have"):
        user_template_text(load_manifest(sample), huge)


def test_a_schedule_over_a_limit_is_one_sentence():
    """The pod of a CronJob has little memory."""
    for text, sentence in TOO_LARGE.values():
        with pytest.raises(ScheduleError) as caught:
            parse_schedule(text)
        assert str(caught.value).startswith("the schedule ")
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a: [" + "a, " * 50_000 + "]",
            "the rendered workflow stands for more than 50,000 keys and values at",
        ),
        (
            "%YAML 1.1\n---\na: 1" + ":1" * 100_000,
            "the rendered workflow holds a number of 200,001 digits at",
        ),
        ("a: " + "[" * 25, "the rendered workflow is nested deeper than 24 levels at line 1"),
    ],
    ids=["a list", "a number of sixties", "brackets"],
)
def test_a_rendered_workflow_over_a_limit_is_one_sentence(text: str, sentence: str):
    """The parser that qrun uses needs a minute for a megabyte of commas."""
    with pytest.raises(StageError) as caught:
        read_document(text)
    assert caught.value.message.startswith(sentence)
    assert caught.value.reason is Reason.INVALID_WORKFLOW
