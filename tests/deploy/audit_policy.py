"""An audit policy as an API server applies it to an event.

Source: kubernetes/apiserver, pkg/audit/policy/checker.go (the first rule wins; resources are `resource`,
`resource/subresource`, `*`, `resource/*` or `*/subresource`; `users` are never those whom somebody impersonates,
because that is looked at later) and pkg/audit/request.go (what each level logs).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

Event = dict[str, Any]
LEVELS: Final = ("None", "Metadata", "Request", "RequestResponse")
_BODIES: Final = {"Metadata": ("requestObject", "responseObject"), "Request": ("responseObject",)}


def logged(policy: dict[str, Any], event: Event) -> Event | None:
    """What the policy lets through of an event that was logged in full; None: nothing."""
    rule = _first(policy, event)
    stages = {*policy.get("omitStages", ()), *rule.get("omitStages", ())}
    if rule["level"] == "None" or event.get("stage") in stages:
        return None
    level = min(rule["level"], event.get("level", "RequestResponse"), key=LEVELS.index)
    hidden = _BODIES.get(level, ())
    return {**{key: value for key, value in event.items() if key not in hidden}, "level": level}


def level_of(policy: dict[str, Any], event: Event) -> str:
    """The level that the policy gives an event."""
    return str(_first(policy, event)["level"])


def _first(policy: dict[str, Any], event: Event) -> dict[str, Any]:
    return next((rule for rule in policy["rules"] if _fits(rule, event)), {"level": "None"})


def _fits(rule: dict[str, Any], event: Event) -> bool:
    user = event.get("user") or {}
    return (
        _one_of(rule.get("users"), [user.get("username", "")])
        and _one_of(rule.get("userGroups"), user.get("groups", []))
        and _one_of(rule.get("verbs"), [event.get("verb", "")])
        and _fits_target(rule, event)
    )


def _fits_target(rule: dict[str, Any], event: Event) -> bool:
    target = event.get("objectRef")
    if target is None:
        path = event.get("requestURI", "").partition("?")[0]
        patterns = rule.get("nonResourceURLs")
        if "resources" in rule or "namespaces" in rule:
            return False
        return not patterns or any(fnmatchcase(path, pattern) for pattern in patterns)
    if "nonResourceURLs" in rule:
        return False
    if not _one_of(rule.get("namespaces"), [target.get("namespace", "")]):
        return False
    return not rule.get("resources") or any(_fits_resource(group, target) for group in rule["resources"])


def _fits_resource(group: dict[str, Any], target: dict[str, Any]) -> bool:
    if group.get("group", "") != target.get("apiGroup", ""):
        return False
    name, subresource = target.get("resource", ""), target.get("subresource", "")
    full = f"{name}/{subresource}" if subresource else name
    patterns = group.get("resources", [])
    fits = not patterns or any(
        pattern in {full, "*"} or (subresource and pattern in {f"{name}/*", f"*/{subresource}"}) for pattern in patterns
    )
    return fits and _one_of(group.get("resourceNames"), [target.get("name", "")])


def _one_of(wanted: list[str] | None, found: list[str]) -> bool:
    return not wanted or not set(wanted).isdisjoint(found)
