"""A real Kubernetes cluster for tests, on a machine with or without Docker, or an existing one.

Standard library only: it runs before anything is installed. Of the project it knows only where the
Dockerfiles are.
"""

from testcluster.cluster import Cluster, Volume
from testcluster.errors import TestClusterError, UnavailableError
from testcluster.waiting import PATIENCE, wait_for

__all__ = ["PATIENCE", "Cluster", "TestClusterError", "UnavailableError", "Volume", "wait_for"]
