"""How a limit of a number is written."""

from qlib_shadow_runner.contract.kinds import Number


def test_a_large_limit_is_written_without_an_exponent():
    """People read commas, and no 1e+15."""
    assert Number(1, 1e15).words == "a number from 1 to 1,000,000,000,000,000"
    assert Number(0.001, 1).words == "a number from 0.001 to 1"
