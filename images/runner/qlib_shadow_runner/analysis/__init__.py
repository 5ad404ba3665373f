"""The figures of a run, computed from what Qlib left in its folder."""
