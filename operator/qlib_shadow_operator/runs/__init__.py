"""The operator's decisions about runs, as pure functions: no cluster, clock, environment or I/O."""
