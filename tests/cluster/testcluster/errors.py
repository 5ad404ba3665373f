"""The harness's errors, as sentences that say what to do."""


class TestClusterError(Exception):
    """A failure; the message is all that a user needs."""

    __test__ = False  # pytest collects classes by this prefix


class UnavailableError(TestClusterError):
    """This machine lacks something: tests skip, and fail in CI. The sentence says what to install."""


class CommandError(TestClusterError):
    """A command failed; the message holds the end of what it printed."""
