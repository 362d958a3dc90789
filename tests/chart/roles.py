"""The roles that the chart renders, as rules that can be asked, with the comments that stand beside them."""

import re

import yaml
from attrs import frozen

from tests.chart.helm import NAMESPACE, objects


@frozen
class Asked:
    """One request, as an authorizer sees it."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@frozen
class Rule:
    """What one rule grants to one account. `namespace` None: everywhere. `rarely`: when it is needed, from its comment."""

    account: str
    namespace: str | None
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...]
    rarely: str

    def allows(self, asked: Asked) -> bool:
        return (
            self.account == asked.account
            and self.namespace in (None, asked.namespace)
            and asked.group in self.groups
            and asked.resource in self.resources
            and asked.verb in self.verbs
            and (not self.names or asked.name in self.names)
        )


def rules(text: str) -> list[Rule]:
    """Every rule of every account."""
    bound = {
        (o["roleRef"]["kind"], o["roleRef"]["name"]): o["subjects"][0]["name"]
        for o in objects(text)
        if o["kind"] in ("RoleBinding", "ClusterRoleBinding")
    }
    found = []
    for document in re.split(r"^---$", text, flags=re.MULTILINE):
        role = yaml.safe_load(document)
        if role and role["kind"] in ("Role", "ClusterRole"):
            account = bound[role["kind"], role["metadata"]["name"]]
            comments = re.findall(r"^((?:  #.*\n)*)  - apiGroups:", document, re.MULTILINE)
            found += [_rule(account, role, r, c) for r, c in zip(role["rules"], comments, strict=True)]
    return found


def _rule(account: str, role: dict, rule: dict, comment: str) -> Rule:
    rarely = re.search(r"# rarely: (.*)", comment)
    return Rule(
        account=account,
        namespace=NAMESPACE if role["kind"] == "Role" else None,
        groups=tuple(rule["apiGroups"]),
        resources=tuple(rule["resources"]),
        verbs=tuple(rule["verbs"]),
        names=tuple(rule.get("resourceNames", ())),
        rarely=rarely[1] if rarely else "",
    )
