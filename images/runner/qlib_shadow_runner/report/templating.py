"""The settings of every template: all values are escaped, and one that is not there is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from collections.abc import Sequence


def environment_of(folder: str, extensions: Sequence[str] = ()) -> jinja2.Environment:
    """Return a new Jinja environment for the templates in a folder of this package."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("qlib_shadow_runner", folder),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=extensions,
    )
