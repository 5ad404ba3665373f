"""The control loop: cached resources, the work queue, the workers, and one reconciliation."""
