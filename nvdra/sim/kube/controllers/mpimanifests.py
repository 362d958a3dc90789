"""Pure: what the MPI operator makes of an MPIJob: CRD, Service, hostfile, workers, launcher."""

from typing import Final

from nvdra.sim.kube.shapes import Json, dig, name, namespace, owner_reference

API_VERSION: Final = "kubeflow.org/v2beta1"
_PREFIX: Final = "training.kubeflow.org"


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
    hosts = (f"{worker_name(job, i)}.{name(job)}.{namespace(job)}.svc" for i in range(replicas(job)))
    data = {"hostfile": "".join(f"{host} slots={slots}\n" for host in hosts)}
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


def _config_volume(job: Json) -> Json:
    return {"configMap": {"name": f"{name(job)}-config", "items": [{"key": "hostfile", "path": "hostfile"}]}}


def _with_hostfile(container: Json) -> Json:
    mount = {"name": "mpi-job-config", "mountPath": "/etc/mpi"}
    env = {"name": "OMPI_MCA_orte_default_hostfile", "value": "/etc/mpi/hostfile"}
    mine = {"name": "K_MPI_JOB_ROLE", "value": "launcher"}
    return {
        **container,
        "env": [*(container.get("env") or ()), env, mine],
        "volumeMounts": [*(container.get("volumeMounts") or ()), mount],
    }


def _meta(job: Json, named: str) -> Json:
    owner = owner_reference(API_VERSION, "MPIJob", job)
    return {"name": named, "namespace": namespace(job), "ownerReferences": [owner], "labels": {"app": name(job)}}
