"""A real Kubernetes cluster for tests, on a machine with Docker, without it, or somewhere else.

Standard library only: it runs before anything is installed. Knows nothing of the project but
where its Dockerfiles are.
"""

from testcluster.cluster import Cluster, Volume
from testcluster.errors import TestClusterError, UnavailableError
from testcluster.waiting import PATIENCE, wait_for

__all__ = ["PATIENCE", "Cluster", "TestClusterError", "UnavailableError", "Volume", "wait_for"]
