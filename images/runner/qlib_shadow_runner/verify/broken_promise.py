"""What a check raises."""

from __future__ import annotations


class BrokenPromise(Exception):  # noqa: N818 - it is a finding
    """A promise that a run folder does not keep."""
