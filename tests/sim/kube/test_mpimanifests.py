"""What a real mpirun needs beyond the rack's: keys where ssh looks for them, and names without DNS."""

import pytest

from nvdra.sim.kube.controllers import mpimanifests
from nvdra.sim.kube.controllers.mpimanifests import SshKey

KEY = SshKey("PRIVATE", "PUBLIC")


def a_job(**spec):
    return {"metadata": {"name": "job", "namespace": "team", "uid": "1"}, "spec": spec}


def test_the_secret_is_the_jobs_and_its_keys_are_not_shown():
    """It goes with its MPIJob, has the type that Kubernetes checks, and no log can have the private key by accident."""
    secret = mpimanifests.ssh_secret(a_job(), KEY)
    assert secret["metadata"]["ownerReferences"][0]["kind"] == "MPIJob"
    assert (secret["type"], secret["stringData"]) == (
        "kubernetes.io/ssh-auth", {"ssh-privatekey": "PRIVATE", "ssh-publickey": "PUBLIC"},
    )  # fmt: skip
    assert "PRIVATE" not in repr(KEY)


@pytest.mark.parametrize(
    ("spec", "path", "mode"),
    [({}, "/root/.ssh", 0o600), ({"sshAuthMountPath": "/home/mpiuser/.ssh"}, "/home/mpiuser/.ssh", None)],
)
def test_the_first_container_has_the_keys_where_the_job_wants_them(spec, path, mode):
    """Beside what the pod mounts of its own; root's are for root alone, others' ssh could not read such files."""
    own = {"name": "own", "mountPath": "/own"}
    pod = {"containers": [{"name": "a", "volumeMounts": [own]}, {"name": "b"}], "volumes": [{"name": "own"}]}
    made = mpimanifests.with_ssh(pod, a_job(**spec))
    first, second = made["containers"]
    assert first["volumeMounts"] == [own, {"name": "ssh-auth", "mountPath": path}]
    assert second == {"name": "b"}
    secret = made["volumes"][1]["secret"]
    assert secret["secretName"] == mpimanifests.ssh_secret(a_job(), KEY)["metadata"]["name"]
    assert secret.get("defaultMode") == mode
    assert {item["path"] for item in secret["items"]} == {"id_rsa", "id_rsa.pub", "authorized_keys"}
    assert "ssh-auth" not in str(pod), "the job's own template was changed"


def test_a_pod_knows_the_names_of_the_hostfile():
    """Every host of the hostfile has an alias when every worker has an address."""
    worker = {"template": {"spec": {"containers": []}}, "replicas": 2}
    job = a_job(slotsPerWorker=4, mpiReplicaSpecs={"Worker": worker})
    addresses = {
        mpimanifests.host_name(job, mpimanifests.worker_name(job, index)): f"10.0.0.{index}" for index in (0, 1)
    }
    aliases = mpimanifests.with_host_aliases({}, addresses)["hostAliases"]
    hosts = [line.split()[0] for line in mpimanifests.config_map(job)["data"]["hostfile"].splitlines()]
    assert [alias["hostnames"] for alias in aliases] == [[host] for host in hosts]
    assert [alias["ip"] for alias in aliases] == ["10.0.0.0", "10.0.0.1"]
