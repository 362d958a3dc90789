"""Every version that the test bed is built from: nothing here is 'latest'."""

from attrs import frozen

from .faults import BedFault


@frozen
class Release:
    """One Kubernetes release that the bed can be made of."""

    version: str
    """As in ``v1.37.2``, without the v."""

    build_tags: tuple[str, ...] = ()
    """The kubelet's constructor differs between releases: see kube/kubelet*.go."""

    feature_gates: tuple[str, ...] = ()
    """Of all components: what is not on by default there and needed here."""

    @property
    def minor(self) -> int:
        return int(self.version.split(".")[1])


RELEASES = {
    release.version: release
    for release in (
        Release(version="1.37.2"),
        Release(version="1.33.13", build_tags=("k133",), feature_gates=("DynamicResourceAllocation=true",)),
    )
}
NEWEST = "1.37.2"

ETCD = "v3.7.3"
CONTAINERD = "v2.4.2"
RUNC = "v1.5.2"
CNI = "v1.9.1"
RUNTIME = (ETCD, CONTAINERD, RUNC, CNI)


def release(version: str) -> Release:
    """The release of that version or of that minor ("1.33")."""
    for candidate in RELEASES.values():
        if candidate.version == version or candidate.version.rsplit(".", 1)[0] == version:
            return candidate
    raise BedFault(f"no Kubernetes {version!r} here: the bed knows {', '.join(RELEASES)}")
