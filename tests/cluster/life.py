"""What the tests of faults ask again and again of a domain that lives: its daemons, its state, its workers."""

from nvdra.api import names
from tests.cluster.view import Json, User, pod_ready, running, until
from tests.cluster.workloads import worker

DAEMON = "nvdra imex-daemon"
"""In the command line of our process beside nvidia-imex."""


def both_run(user: User, domain: str, policy: str = "Never") -> None:
    """One worker a node, from nothing to running."""
    pods = [worker(domain, number) for number in (1, 2)]
    user.apply(*({**pod, "spec": {**pod["spec"], "restartPolicy": policy}} for pod in pods))
    until("both workers run", lambda: workers_run(user, domain), 60)


def workers_run(user: User, domain: str) -> bool:
    """Whether both are there and run."""
    found = user.json("get", "pods", "--ignore-not-found")["items"]
    return sum(running(pod) for pod in found if pod["metadata"]["name"] in (f"{domain}-1", f"{domain}-2")) == 2


def state(user: User, domain: str) -> str:
    """Ready or NotReady."""
    return str(user.json("get", "computedomain", domain).get("status", {}).get("status"))


def daemons(user: User) -> list[Json]:
    """Pods of every domain's daemons."""
    found: list[Json] = user.json("get", "pods", "-n", names.DRIVER_NAMESPACE, "-l", names.DOMAIN_LABEL)["items"]
    return found


def ready_daemons(user: User) -> int:
    """How many of them are ready."""
    return sum(map(pod_ready, daemons(user)))


def daemon_on(user: User, node: str) -> Json:
    """The only one of that node."""
    (found,) = (pod for pod in daemons(user) if pod["spec"]["nodeName"] == node)
    return found


def restarts(pod: Json) -> int:
    """How often its containers were started again."""
    return sum(state["restartCount"] for state in pod["status"]["containerStatuses"])


def labelled(user: User) -> list[str]:
    """Nodes that carry a domain's label."""
    found = user.json("get", "nodes", "-l", names.DOMAIN_LABEL)["items"]
    return [node["metadata"]["name"] for node in found]


def rosters(user: User) -> list[Json]:
    """Every roster there is."""
    found: list[Json] = user.json("get", "computedomaincliques", "-n", names.DRIVER_NAMESPACE)["items"]
    return found


def answers(user: User) -> bool:
    """Whether the API server does."""
    return user.attempt(user.kubectl_program, "get", "--raw", "/readyz").returncode == 0
