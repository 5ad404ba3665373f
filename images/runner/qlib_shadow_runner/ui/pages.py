"""Fill in the templates of the pages, and format times, sizes and figures for them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.escapes import in_lines
from qlib_shadow_runner.report.templating import environment_of
from qlib_shadow_runner.texts import ABSENT, figure, format_size, percent

if TYPE_CHECKING:
    import jinja2

MINUTE: Final = 60
HOUR: Final = 3600


def page(template: str, *, here: str = "", **values: object) -> str:
    """Return one page; `here` is the entry that the navigation marks as current."""
    return in_lines(_environment().get_template(template).render(here=here, **values))


@cache
def _environment() -> jinja2.Environment:
    environment = environment_of("ui/templates")
    environment.filters.update(
        figure=figure, percent=percent, moment=moment, duration=duration, size=size, text=text, short=short
    )
    return environment


def now_in_utc() -> datetime:
    """Return the time in UTC without a time zone, as the catalog has times."""
    return datetime.now(UTC).replace(tzinfo=None)


def moment(value: datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    if value is None:
        return ABSENT
    return f"{value.astimezone(UTC) if value.tzinfo else value:%Y-%m-%d %H:%M}"


def duration(seconds: float | None) -> str:
    """Return a duration as text."""
    if seconds is None:
        return ABSENT
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE)} s"
    return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE)} min"


def size(value: float) -> str:
    """Return a number of bytes as text."""
    return format_size(value)


def text(value: object) -> str:
    """Return a value as text; a dash where there is none."""
    return ABSENT if value is None or value == "" else str(value)


def short(value: object) -> str:
    """Return the first characters of a hash."""
    return ABSENT if not value else str(value)[:12]
