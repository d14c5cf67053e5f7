"""The pages are served by the node of the API's tests: a cluster of one in memory."""

from tests.api.conftest import node, replica

__all__ = ["node", "replica"]
