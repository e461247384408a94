"""A cluster of two nodes inside this machine; `make test-ray` runs these tests in an environment that has Ray."""

import importlib.util
from dataclasses import dataclass

import pytest

# Where Ray is not installed, as in the project's own environment, there is nothing to collect. (This folder's name
# alone makes an empty `ray` that can be imported, so something inside it is asked for.)
collect_ignore_glob = [] if importlib.util.find_spec("ray.exceptions") else ["test_*.py"]


@dataclass
class Nodes:
    """A head and what joined it; what they compile, they keep in a cache that is empty at first."""

    cluster: object
    address: str
    cache: str

    def add(self, **more):
        from work import SMALL

        return self.cluster.add_node(**SMALL, **more)

    def shoot(self, node):
        """Kill all of a node's processes at once."""
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="session")
def nodes(tmp_path_factory):
    from ray.cluster_utils import Cluster
    from work import SMALL

    import ray

    # A node that is shot is missed within seconds, not half a minute; and a process is kept from test to test.
    quick = {
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 4,
        "idle_worker_killing_time_threshold_ms": 600_000,
    }
    arguments = {**SMALL, "include_dashboard": False, "_system_config": quick}
    cache = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")  # as somebody's shell may have it; the node inherits it
        patch.setenv("THALWEG_CACHE", cache)
        cluster = Cluster(initialize_head=True, head_node_args=arguments)
    yield Nodes(cluster, cluster.address, cache)
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def apart():
    """This process is in no cluster."""
    import ray

    ray.shutdown()


@pytest.fixture
def head(nodes, apart):
    """A cluster of one node."""
    return nodes


@pytest.fixture
def joined(nodes):
    """The same, in which this process is, and stays from test to test."""
    import ray

    if not ray.is_initialized():
        ray.init(address=nodes.address, log_to_driver=False, logging_level="CRITICAL")
    return nodes


@pytest.fixture
def second(nodes):
    """A second node."""
    node = nodes.add()
    yield node
    if node in nodes.cluster.worker_nodes:
        nodes.shoot(node)
