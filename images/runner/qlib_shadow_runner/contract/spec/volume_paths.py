"""The kind of a path on the volume."""

from __future__ import annotations

from pathlib import PurePosixPath

from qlib_shadow_runner.contract import DEFAULT_DATA
from qlib_shadow_runner.contract.kinds import Text, TextCheck


def on_volume(example: str) -> Text:
    """Return the kind of a path on the volume, which is always read as an absolute path below /data."""
    return Text(
        512,
        (
            TextCheck(
                f'must lie on the volume, without "..": relative to it, such as {example}, '
                f"or as {DEFAULT_DATA}/{example}",
                lambda path: _lieson_volume(path, PurePosixPath(DEFAULT_DATA, path).parts),
                "!self.split('/').exists(part, part == '..') && "
                f"(!self.startsWith('/') || self.startsWith('{DEFAULT_DATA}/'))",
            ),
        ),
        clean=lambda path: str(PurePosixPath(DEFAULT_DATA, path)),
    )


def _lieson_volume(path: str, parts: tuple[str, ...]) -> bool:
    inside = parts[:2] == ("/", DEFAULT_DATA[1:]) and len(parts) > 2  # noqa: PLR2004 - /, data, something
    return inside and ".." not in parts and "\0" not in path
