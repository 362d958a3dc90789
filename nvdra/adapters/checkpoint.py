"""The plugin's claim records: one small JSON file a claim, so that no claim's fault can take another's record away.

There is no checksum: the write is atomic, what does not parse or does not fit is set aside and told, and unknown fields
are kept (the Go driver's checksum over re-made structs turned upgrades into "corrupt": #1080, #1129, #1326).
"""

import json
import logging
import re
from pathlib import Path
from typing import Any, Final

import cattrs
from attrs import asdict, evolve, field, fields_dict, frozen

from nvdra.adapters.files import DiskFiles
from nvdra.api.records import RECORD_VERSION, ClaimRecord
from nvdra.errors import Again, Refused
from nvdra.ports import Folders

log = logging.getLogger(__name__)

FOLDER: Final = "claims"
ASIDE: Final = ".corrupt-"
UID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,126}[A-Za-z0-9])?")
_UNSTORED: Final = ("extra", "stale_boot")
_STORED: Final = frozenset(fields_dict(ClaimRecord)) - set(_UNSTORED)

_converter: Final = cattrs.Converter(detailed_validation=True)


def _as_it_is(value: Any, wanted: type) -> Any:
    """Text is text and a number a number: the default would turn null into "None"."""
    if type(value) is not wanted:
        raise TypeError(f"expected {wanted.__name__}, found {value!r}")
    return value


for _plain in (str, int, bool):
    _converter.register_structure_hook(_plain, _as_it_is)


@frozen
class Quarantined:
    """A record that could not be read: where its file is now, and what is wrong with it."""

    path: Path
    because: str


@frozen
class Records:
    """The records below `<plugin folder>/claims`, seen from the boot `boot_id`."""

    plugin_folder: Path
    boot_id: str
    files: Folders = field(factory=DiskFiles)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.plugin_folder / FOLDER

    def load_all(self) -> tuple[tuple[ClaimRecord, ...], tuple[Quarantined, ...]]:
        """All records by uid, and those that had to be set aside; never fatal for the sake of one file."""
        records, quarantined = [], []
        for name in self.files.names(self.folder):
            path = self.folder / name
            if not name.endswith(".json") or name.startswith("."):
                continue
            try:
                records.append(self._load(path))
            except (ValueError, Again) as error:
                quarantined.append(self._quarantine(path, str(error)))
        return tuple(records), tuple(quarantined)

    def set_aside(self) -> frozenset[str]:
        """Uids of claims of which a record was ever set aside, at this start or an earlier one."""
        found = (name.partition(f".json{ASIDE}") for name in self.files.names(self.folder))
        return frozenset(uid for uid, aside, _ in found if aside)

    def put(self, record: ClaimRecord) -> None:
        """Write it, synced. A record without a boot id is of this boot."""
        stored = asdict(evolve(record, boot_id=record.boot_id or self.boot_id))
        known = {name: value for name, value in stored.items() if name not in _UNSTORED}
        content = json.dumps({**record.extra, **known}, indent=1).encode()
        self.files.write(self._path(record.uid), content + b"\n")

    def remove(self, uid: str) -> None:
        """Forget the claim; not known is success."""
        self.files.remove(self._path(uid))

    def _path(self, uid: str) -> Path:
        if not UID.fullmatch(uid):
            raise Refused(f"{uid!r} is no uid of a claim: letters, digits and dashes only", reason="InvalidClaim")
        return self.folder / f"{uid}.json"

    def _load(self, path: Path) -> ClaimRecord:
        record = decode(self.files.read(path) or b"")
        if record.uid != path.stem:
            raise ValueError(f"it is the record of claim uid {record.uid!r}, not of {path.stem!r}")
        return evolve(record, stale_boot=record.boot_id != self.boot_id)

    def _quarantine(self, path: Path, because: str) -> Quarantined:
        number = 1
        there = self.files.names(path.parent)
        while (aside := path.with_name(f"{path.name}{ASIDE}{number}")).name in there:
            number += 1
        try:
            self.files.move(path, aside)
        except Again as error:
            aside, because = path, f"{because}; and it cannot be set aside: {error}"
        log.error("claim record %s is not usable and was set aside as %s: %s", path, aside.name, because)
        return Quarantined(path=aside, because=because)


def decode(content: bytes) -> ClaimRecord:
    """A record from its file; ValueError names every fault at once."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object is expected, not {type(found).__name__}")  # noqa: TRY004  # one kind of fault
    known = {name: value for name, value in found.items() if name in _STORED}
    try:
        record = _converter.structure(known, ClaimRecord)
    except cattrs.BaseValidationError as error:
        raise ValueError("; ".join(cattrs.transform_error(error, path="record"))) from error
    if record.version < RECORD_VERSION:
        raise ValueError(f"version {record.version} is none of ours: they start at {RECORD_VERSION}")
    return evolve(record, extra={name: value for name, value in found.items() if name not in _STORED})
