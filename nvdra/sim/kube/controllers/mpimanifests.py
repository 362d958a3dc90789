"""Pure: what the MPI operator makes of an MPIJob: CRD, Service, hostfile, workers, launcher, and ssh's keys."""

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from nvdra.sim.kube.shapes import Json, dig, name, namespace, owner_reference

API_VERSION: Final = "kubeflow.org/v2beta1"
_PREFIX: Final = "training.kubeflow.org"
_SSH_FILES: Final = {"id_rsa": "ssh-privatekey", "id_rsa.pub": "ssh-publickey", "authorized_keys": "ssh-publickey"}
"""The names are fixed, whatever the keys are."""


@frozen
class SshKey:
    """A pair of keys, as files of OpenSSH."""

    private: str = field(repr=False)
    public: str


def crd() -> Json:
    """A small CustomResourceDefinition for MPIJobs; whatever is in spec and status is kept."""
    open_object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": open_object, "status": open_object}}
    version = {
        "name": "v2beta1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            {"name": "Running", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Running")].status'},
            {"name": "Succeeded", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Succeeded")].status'},
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "mpijobs.kubeflow.org"},
        "spec": {
            "group": "kubeflow.org",
            "names": {"kind": "MPIJob", "listKind": "MPIJobList", "plural": "mpijobs", "singular": "mpijob"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def replicas(job: Json) -> int:
    """How many workers are wanted."""
    return int(dig(job, "spec", "mpiReplicaSpecs", "Worker", "replicas") or 0)


def worker_name(job: Json, index: int) -> str:
    """`<job>-worker-<index>`."""
    return f"{name(job)}-worker-{index}"


def job_labels(job: Json, role: str) -> dict[str, str]:
    """The labels that the operator puts on its pods."""
    mine = {"job-name": name(job), "job-role": role, "operator-name": "mpi-operator"}
    return {f"{_PREFIX}/{k}": v for k, v in mine.items()}


def worker_template(job: Json, index: int) -> Json:
    """The pod template of one worker."""
    spec = job["spec"]["mpiReplicaSpecs"]["Worker"]
    template = spec["template"]
    meta = template.get("metadata") or {}
    mine = {**job_labels(job, "worker"), f"{_PREFIX}/replica-index": str(index)}
    pod = {
        **template["spec"],
        "hostname": worker_name(job, index),
        "subdomain": name(job),
        "restartPolicy": spec.get("restartPolicy") or "Never",
    }
    return {"metadata": {**meta, "labels": {**(meta.get("labels") or {}), **mine}}, "spec": pod}


def service(job: Json) -> Json:
    """The headless Service that gives workers their names."""
    selector = {f"{_PREFIX}/job-name": name(job), f"{_PREFIX}/operator-name": "mpi-operator"}
    spec = {"clusterIP": "None", "selector": selector, "publishNotReadyAddresses": True}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(job, name(job)), "spec": spec}


def config_map(job: Json) -> Json:
    """The hostfile that mpirun reads."""
    slots = int(dig(job, "spec", "slotsPerWorker") or 1)
    data = {"hostfile": "".join(f"{host_name(job, worker_name(job, i))} slots={slots}\n" for i in range(replicas(job)))}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(job, f"{name(job)}-config"), "data": data}


def launcher(job: Json) -> Json:
    """The launcher, a Job with the hostfile mounted at /etc/mpi."""
    spec = job["spec"]["mpiReplicaSpecs"]["Launcher"]
    template = spec["template"]
    meta = template.get("metadata") or {}
    containers = [_with_hostfile(container) for container in template["spec"]["containers"]]
    volumes = [*(template["spec"].get("volumes") or ()), {"name": "mpi-job-config", **_config_volume(job)}]
    pod = {
        **template["spec"],
        "containers": containers,
        "volumes": volumes,
        "restartPolicy": spec.get("restartPolicy") or "Never",
    }
    labelled = {**meta, "labels": {**(meta.get("labels") or {}), **job_labels(job, "launcher")}}
    policy = dig(job, "spec", "runPolicy") or {}
    body: Json = {"backoffLimit": policy.get("backoffLimit", 6), "template": {"metadata": labelled, "spec": pod}}
    head = {**_meta(job, f"{name(job)}-launcher"), "labels": job_labels(job, "launcher")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": head, "spec": body}


def host_name(job: Json, worker: str) -> str:
    """The name by which mpirun reaches a worker, through the headless Service."""
    return f"{worker}.{name(job)}.{namespace(job)}.svc"


def ssh_secret_name(job: Json) -> str:
    """`<job>-ssh`."""
    return f"{name(job)}-ssh"


def ssh_secret(job: Json, key: SshKey) -> Json:
    """The keys that launcher and workers share."""
    data = {"ssh-privatekey": key.private, "ssh-publickey": key.public}
    head = {"metadata": _meta(job, ssh_secret_name(job)), "type": "kubernetes.io/ssh-auth"}
    return {"apiVersion": "v1", "kind": "Secret", **head, "stringData": data}


def with_ssh(pod: Json, job: Json) -> Json:
    """A pod's spec whose first container has the keys where the MPIJob wants them."""
    where = dig(job, "spec", "sshAuthMountPath") or "/root/.ssh"
    items = [{"key": key, "path": path} for path, key in _SSH_FILES.items()]
    secret: Json = {"secretName": ssh_secret_name(job), "items": items}
    if where == "/root/.ssh":
        secret["defaultMode"] = 0o600  # root's ssh refuses keys of its own that others may read
    first, *others = pod["containers"]
    mounts = [*(first.get("volumeMounts") or ()), {"name": "ssh-auth", "mountPath": where}]
    return {
        **pod,
        "containers": [{**first, "volumeMounts": mounts}, *others],
        "volumes": [*(pod.get("volumes") or ()), {"name": "ssh-auth", "secret": secret}],
    }


def with_host_aliases(pod: Json, addresses: Mapping[str, str]) -> Json:
    """A pod's spec that knows names by itself, where no cluster DNS does."""
    aliases = [{"ip": address, "hostnames": [host]} for host, address in addresses.items()]
    return {**pod, "hostAliases": [*(pod.get("hostAliases") or ()), *aliases]}


def _config_volume(job: Json) -> Json:
    return {"configMap": {"name": f"{name(job)}-config", "items": [{"key": "hostfile", "path": "hostfile"}]}}


def _with_hostfile(container: Json) -> Json:
    mount = {"name": "mpi-job-config", "mountPath": "/etc/mpi"}
    mine = {
        "K_MPI_JOB_ROLE": "launcher",
        "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
        "OMPI_MCA_orte_default_hostfile": "/etc/mpi/hostfile",
        "OMPI_MCA_plm_rsh_args": "-o ConnectionAttempts=10",
    }
    return {
        **container,
        "env": [*(container.get("env") or ()), *({"name": key, "value": value} for key, value in mine.items())],
        "volumeMounts": [*(container.get("volumeMounts") or ()), mount],
    }


def _meta(job: Json, named: str) -> Json:
    owner = owner_reference(API_VERSION, "MPIJob", job)
    return {"name": named, "namespace": namespace(job), "ownerReferences": [owner], "labels": {"app": name(job)}}
