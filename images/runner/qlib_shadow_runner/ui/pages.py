"""Filling in the pages; knows how times and sizes are written, and nothing of where they come from."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Final

import jinja2

from qlib_shadow_runner.report.formats import ABSENT, figure, percent
from qlib_shadow_runner.texts import format_size

MINUTE: Final = 60
HOUR: Final = 3600


def page(template: str, *, here: str = "", **values: object) -> str:
    """Fill in one page; `here` is what the navigation marks as the place where one is."""
    return _environment().get_template(template).render(here=here, **values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("qlib_shadow_runner", "ui/templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        figure=figure, percent=percent, moment=moment, duration=duration, size=size, text=text, short=short
    )
    return environment


def moment(value: datetime | None) -> str:
    """Write a time, to the minute, in UTC."""
    if value is None:
        return ABSENT
    return f"{value.astimezone(UTC) if value.tzinfo else value:%Y-%m-%d %H:%M}"


def duration(seconds: float | None) -> str:
    """Write how long something took."""
    if seconds is None:
        return ABSENT
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE)} s"
    return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE)} min"


def size(value: float) -> str:
    """Write a number of bytes."""
    return format_size(value)


def text(value: object) -> str:
    """Write whatever it is, or the dash."""
    return ABSENT if value is None or value == "" else str(value)


def short(value: object) -> str:
    """Write the beginning of a hash."""
    return ABSENT if not value else str(value)[:12]
