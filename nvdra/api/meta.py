"""What every Kubernetes object carries: metadata, owners, conditions."""

from msgspec import Struct, field


class OwnerReference(Struct, frozen=True, gc=False):
    """`metadata.ownerReferences[]`."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(Struct, frozen=True, gc=False):
    """`metadata`."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    ownerReferences: tuple[OwnerReference, ...] = ()

    @property
    def deleting(self) -> bool:
        """Somebody asked for its deletion."""
        return self.deletionTimestamp is not None

    @property
    def path(self) -> str:
        """`namespace/name`, or the name alone for what has no namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Condition(Struct, frozen=True, gc=False):
    """`status.conditions[]` of metav1."""

    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    lastTransitionTime: str | None = None
    observedGeneration: int = 0
