"""Custom resources: CRD objects become resources with a compiled schema, and objects are held against it."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field, frozen

from nvdra.sim.apiserver import builtin, cel, jsonpath, schema, shaping
from nvdra.sim.apiserver.collection import Change
from nvdra.sim.apiserver.requests import Writing
from nvdra.sim.apiserver.resources import Catalog, Resource
from nvdra.sim.apiserver.status import Flaw, StatusError

Json = dict[str, Any]
_DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


@frozen
class Compiled:
    """The schema of one custom resource."""

    schema: Mapping[str, Any]
    rules: cel.Rules


@define(eq=False)
class Definitions:
    """The CRDs there are, compiled; and the schemas of built-in kinds, read when first needed."""

    catalog: Catalog
    _compiled: dict[tuple[str, str], Compiled] = field(init=False, factory=dict)

    def note(self, change: Change) -> None:
        """A CRD came, changed or went."""
        if change.entry.resource.key != _DEFINITIONS:
            return
        resource = resource_of(change.entry.object)
        if change.type == "DELETED":
            self.catalog.remove(resource.key)
            self._compiled.pop(resource.key, None)
        elif change.old is None or change.old.object["spec"] != change.entry.object["spec"]:
            found = storage(change.entry.object)["schema"]["openAPIV3Schema"]
            self._compiled[resource.key] = Compiled(found, cel.compiled(found))
            self.catalog.add(resource)

    def shaped(self, resource: Resource, obj: Json, how: Writing) -> Json:
        """The object with unknown fields pruned, or refused, and defaults filled in."""
        compiled = self._compiled.get(resource.key) if resource.definition is not None else None
        if compiled is not None:
            return _shaped(compiled.schema, resource, obj, how)
        if how.validation == "Ignore":
            return obj
        kept, unknown, wrong = builtin.checked(resource, obj)
        _refuse(resource, obj, wrong)
        _tell(resource, obj, unknown, how)
        return kept

    def flaws(self, resource: Resource, new: Json, old: Json | None) -> list[Flaw]:
        """What the schema and its rules say against it."""
        compiled = self._compiled.get(resource.key)
        if compiled is None or resource.definition is None:
            return []
        content = {key: value for key, value in new.items() if key != "metadata"}
        inner = {
            **compiled.schema,
            "properties": {k: v for k, v in (compiled.schema.get("properties") or {}).items() if k != "metadata"},
        }
        found = list(schema.flaws(inner, content))
        return found or list(compiled.rules.flaws(new, old))


def _shaped(schema: Mapping[str, Any], resource: Resource, obj: Json, how: Writing) -> Json:
    kept, unknown = shaping.pruned(schema, obj)
    if how.validation != "Ignore":
        more, wrong = builtin.checked_meta(obj)
        _refuse(resource, obj, wrong)
        _tell(resource, obj, [*more, *unknown], how)
    result: Json = shaping.defaulted(schema, kept)
    return result


def _refuse(resource: Resource, obj: Json, wrong: list[str]) -> None:
    if wrong:
        raise _undecodable(resource, obj, wrong[0])


def _tell(resource: Resource, obj: Json, unknown: list[str], how: Writing) -> None:
    if not unknown or how.validation == "Ignore":
        return
    told = [f'unknown field "{path}"' for path in unknown]
    if how.validation == "Strict":
        raise _undecodable(resource, obj, f"strict decoding error: {', '.join(told)}")
    for text in told:
        how.warn(text)


def _undecodable(resource: Resource, obj: Json, why: str) -> StatusError:
    version = obj["apiVersion"].rpartition("/")[2]
    text = f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: {why}'
    return StatusError(400, "BadRequest", text)


def storage(definition: Json) -> Json:
    """The stored version of a CRD."""
    versions: list[Json] = definition["spec"]["versions"]
    return next((version for version in versions if version.get("storage")), versions[0])


def resource_of(definition: Json) -> Resource:
    """The resource that a CRD defines."""
    spec, stored = definition["spec"], storage(definition)
    names = spec["names"]
    others = [v["name"] for v in spec["versions"] if v.get("served") and v["name"] != stored["name"]]
    return Resource(
        spec["group"],
        (stored["name"], *others),
        names["plural"],
        names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        status="status" in (stored.get("subresources") or {}),
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        singular_name=names.get("singular", ""),
        definition=definition,
    )


def definition_flaws(obj: Json) -> list[Flaw]:
    """What is wrong with a CRD."""
    spec = obj.get("spec") or {}
    found = _missing(spec)
    if found:
        return found
    said, name = obj["metadata"].get("name"), f"{spec['names']['plural']}.{spec['group']}"
    if said != name:
        found.append(Flaw("metadata.name", f'Invalid value: "{said}": must be spec.names.plural+"."+spec.group'))
    if sum(bool(version.get("storage")) for version in spec["versions"]) != 1:
        found.append(Flaw("spec.versions", "Invalid value: must have exactly one version marked as storage version"))
    return found + _schema_flaws(spec["versions"])


def _missing(spec: Json) -> list[Flaw]:
    names = spec.get("names") or {}
    required = {
        "spec.group": spec.get("group"),
        "spec.names.plural": names.get("plural"),
        "spec.names.kind": names.get("kind"),
        "spec.versions": spec.get("versions"),
    }
    found = [Flaw(where, "Required value", "FieldValueRequired") for where, value in required.items() if not value]
    if (scope := spec.get("scope", "")) not in ("Namespaced", "Cluster"):
        words = f'Unsupported value: "{scope}": supported values: "Cluster", "Namespaced"'
        found.append(Flaw("spec.scope", words, "FieldValueNotSupported"))
    return found


def _column_flaws(version: Json, where: str) -> Iterator[Flaw]:
    for index, column in enumerate(version.get("additionalPrinterColumns") or []):
        try:
            jsonpath.parse(column["jsonPath"])
        except ValueError as error:
            yield Flaw(f"{where}[{index}].jsonPath", f"Invalid value: {error}")


def _schema_flaws(versions: list[Json]) -> list[Flaw]:
    found: list[Flaw] = []
    for index, version in enumerate(versions):
        found += _column_flaws(version, f"spec.versions[{index}].additionalPrinterColumns")
        where = f"spec.versions[{index}].schema.openAPIV3Schema"
        said = (version.get("schema") or {}).get("openAPIV3Schema")
        if not said:
            found.append(Flaw(where, "Required value: schemas are required", "FieldValueRequired"))
            continue
        try:
            cel.compiled(said)
        except cel.RuleError as error:
            found.append(Flaw(where, f"Invalid value: {error}"))
    return found
