"""The log format: one JSON object per line, or text; what a line is about is in its fields."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from textwrap import indent
from typing import Any, Final

from qlib_shadow_runner.contract.escapes import in_json, in_lines, in_one_line

STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
FOREIGN: Final = {"k8s_ref": "object", "k8s_skip": None, "settings": None}
"""The fields that kopf adds to a record, and the names they get here; None drops the field."""


def configure(level: str, style: str) -> None:
    """Send all log lines of this process to stderr; libraries log warnings and errors only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("kopf", "aiohttp.access", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record's fields besides its message."""
    extra = {name: value for name, value in vars(record).items() if name not in STANDARD}
    return {known: value for name, value in extra.items() if (known := FOREIGN.get(name, name)) is not None}


def _time(record: logging.LogRecord) -> str:
    when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return when.replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """Formats a record as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object; a traceback is a field of it."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return in_json(json.dumps(line, default=str, ensure_ascii=False))


class TextLines(logging.Formatter):
    """Formats a record as text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, followed by the fields; the lines of a traceback are indented."""
        about = "".join(f"  {name}={value}" for name, value in fields_of(record).items())
        line = in_one_line(f"{_time(record)} {record.levelname:<8} {record.getMessage()}{about}")
        if not record.exc_info:
            return line
        return f"{line}\n{indent(in_lines(self.formatException(record.exc_info)), '    ')}"
