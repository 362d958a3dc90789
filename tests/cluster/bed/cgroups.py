"""The cgroup folders of the nodes: the one thing of the bed that outlives its namespaces."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
INHERITED = ("cpuset.cpus", "cpuset.mems")
"""Empty in a new folder of cgroup v1, and then no process may enter it."""


def hierarchies() -> Iterator[Path]:
    """Every mounted hierarchy: one on cgroup v2; a dozen on v1, `unified` among them."""
    if (ROOT / "cgroup.controllers").exists():
        yield ROOT
        return
    for folder in sorted(ROOT.iterdir()):
        if folder.is_dir() and not folder.is_symlink():
            yield folder


def make(names: list[str]) -> None:
    """The folders, in every hierarchy, ready for processes."""
    for hierarchy in hierarchies():
        for name in names:
            folder = hierarchy
            for part in Path(name).parts:
                _hand_down(folder)
                folder /= part
                folder.mkdir(exist_ok=True)
                _inherit(folder)


def remove(name: str) -> list[Path]:
    """Remove the folder and all below, depth first, in every hierarchy; what could not be removed."""
    left = []
    for hierarchy in hierarchies():
        top = hierarchy / name
        if not top.is_dir():
            continue
        folders = sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
        for folder in [*folders, top]:
            try:
                folder.rmdir()
            except OSError:
                left.append(folder)
    return left


def _inherit(folder: Path) -> None:
    for name in INHERITED:
        file = folder / name
        if file.exists() and not file.read_text().strip():
            file.write_text((folder.parent / name).read_text())


def _hand_down(folder: Path) -> None:
    """On cgroup v2: let the folders below be limited in the same things."""
    controllers, below = folder / "cgroup.controllers", folder / "cgroup.subtree_control"
    if not controllers.exists() or folder.name == "unified":
        return
    for controller in controllers.read_text().split():
        with contextlib.suppress(OSError):
            below.write_text(f"+{controller}")
