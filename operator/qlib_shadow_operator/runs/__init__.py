"""What the operator decides, as pure functions: no cluster, no clock, no environment, no I/O."""
