"""What the operator costs: time, API calls, processor and memory, compared with two Jobs created by hand.

`make bench-operator`. Nothing here is asserted; limits are asserted in tests/e2e/test_cost.py.
"""
