"""The log: one JSON object a line, or one line of text; what a line is about are fields of it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
FOREIGN: Final = {"k8s_ref": "object", "k8s_skip": None, "settings": None}
"""What kopf adds to a record, and what becomes of it."""


def configure(level: str, style: str) -> None:
    """Send every line of this process to stderr; the libraries speak up when something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("kopf", "aiohttp.access", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Give what a line is about, besides its message."""
    extra = {name: value for name, value in vars(record).items() if name not in STANDARD}
    return {known: value for name, value in extra.items() if (known := FOREIGN.get(name, name)) is not None}


def _time(record: logging.LogRecord) -> str:
    when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return when.replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """For machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one object; a traceback is a field like any other."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the message, then what it is about."""
        about = "".join(f"  {name}={value}" for name, value in fields_of(record).items())
        line = f"{_time(record)} {record.levelname:<8} {record.getMessage()}{about}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
