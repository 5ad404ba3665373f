"""The log: one line per message, with fields."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_operator.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore the logging configuration."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one line that was logged."""
    [line] = capsys.readouterr().err.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_line_is_one_json_object_with_fields(capsys: pytest.CaptureFixture[str]):
    """Time in UTC, level, logger, message, and the extra fields."""
    logs.configure("INFO", "json")
    logging.getLogger("x").info("rule: %s", "Pending", extra={"run": "research/demo", "stage": "download"})
    line = said(capsys)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "x",
        "message": "rule: Pending",
        "run": "research/demo",
        "stage": "download",
    }


def test_a_traceback_stays_in_its_line(capsys: pytest.CaptureFixture[str]):
    """However many lines it has."""
    logs.configure("INFO", "json")
    logging.getLogger("x").error("defect", exc_info=ZeroDivisionError("by zero"))
    assert said(capsys)["traceback"].endswith("ZeroDivisionError: by zero")


def test_kopfs_lines_name_their_object(capsys: pytest.CaptureFixture[str]):
    """Without kopf's settings, which are long."""
    logs.configure("INFO", "json")
    extra = {"k8s_ref": {"name": "demo"}, "k8s_skip": False, "settings": object()}
    logging.getLogger("kopf.other").warning("hm", extra=extra)
    line = said(capsys)
    assert line["object"] == {"name": "demo"}
    assert not {"k8s_ref", "k8s_skip", "settings"} & line.keys()


def test_text_has_the_fields_after_the_message(capsys: pytest.CaptureFixture[str]):
    """For interactive use."""
    logs.configure("INFO", "text")
    logging.getLogger("x").info("done", extra={"run": "research/demo"})
    assert capsys.readouterr().err.rstrip().endswith(" INFO     done  run=research/demo")


def test_libraries_log_warnings_only_and_levels_apply(capsys: pytest.CaptureFixture[str]):
    """Only their warnings are logged."""
    logs.configure("WARNING", "json")
    logging.getLogger("kopf").info("chat")
    logging.getLogger("x").info("chat")
    assert capsys.readouterr().err == ""
