"""What the operator costs: time, API calls, processor and memory, beside two Jobs made by hand.

`make bench-operator`. Nothing here is asserted; what must never grow is asserted in tests/e2e/test_cost.py.
"""
