"""Runs rules about Linux hosts on Falco alerts: process_creation, network_connection, file_event and dns_query.

An alert carries the fields that its own rule prints, and more with Falco's `append_output` (docs/rules/sigma.md lists
them). It may be about any system call; where it says which, only the calls that a category speaks of count. Fields:
falco.org/docs/reference/rules/supported-fields.
"""

from __future__ import annotations

from typing import Any, Final

from sigma.processing.pipeline import ProcessingItem

from detectors.sigma.rewriting import RewriteValueTransformation
from vedette.schema.event import LogSource

LOG_SOURCE: Final = LogSource("falco", "syscall")
_OUTGOING: Final = ("connect", "sendto", "sendmsg", "sendmmsg")
_INCOMING: Final = ("accept", "accept4", "recvfrom", "recvmsg", "recvmmsg")
_CALLS: Final = {
    "process_creation": ("execve", "execveat", "clone", "clone3", "fork", "vfork"),
    "network_connection": (*_OUTGOING, *_INCOMING),
    "file_event": (
        *("open", "openat", "openat2", "creat", "rename", "renameat", "renameat2"),
        *("link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat", "mknod", "mknodat"),
    ),
    "dns_query": _OUTGOING,
}
CATEGORIES: Final = frozenset(_CALLS)
FIELDS: Final = {
    "Image": "proc.exepath",
    "CommandLine": "proc.cmdline",
    "CurrentDirectory": "proc.cwd",
    "ProcessId": "proc.pid",
    "ProcessName": "proc.name",
    "ParentImage": "proc.pexepath",
    "ParentCommandLine": "proc.pcmdline",
    "ParentProcessId": "proc.ppid",
    "ParentProcessName": "proc.pname",
    "User": "user.name",
    "LogonId": "user.loginuid",
    "TargetFilename": ["fd.name", "fs.path.target", "fs.path.name"],
    "DestinationIp": ["fd.sip", "fd.rip"],
    "DestinationPort": ["fd.sport", "fd.rport"],
    "DestinationHostname": ["fd.sip.name", "fd.rip.name"],
    "SourceIp": ["fd.cip", "fd.lip"],
    "SourcePort": ["fd.cport", "fd.lport"],
    "SourceHostname": ["fd.cip.name", "fd.lip.name"],
    "Protocol": "fd.l4proto",
    "QueryName": ["fd.sip.name", "fd.rip.name"],
    "QueryResults": ["fd.sip", "fd.rip"],
}
"""Sigma's names (appendix taxonomy) and Falco's. The server's end is the destination; where an alert has only the
remote end, that is."""


def covers(source: LogSource) -> bool:
    """Say whether rules of a log source are for this pipeline."""
    return source.category in CATEGORIES and source.product in (None, "linux") and source.service is None


def items() -> list[ProcessingItem]:
    """Return the pipeline's steps, made anew: an item belongs to one pipeline."""
    return [
        ProcessingItem(RewriteValueTransformation("Initiated", "true", {"evt.type": list(_OUTGOING)})),
        ProcessingItem(RewriteValueTransformation("Initiated", "false", {"evt.type": list(_INCOMING)})),
        _step("field_name_mapping", mapping=FIELDS),
        *(_only(category, "_falco", {"evt.type": [*calls, None]}) for category, calls in _CALLS.items()),
        _only("file_event", "_falco_reading", {"evt.is_open_write": False}, negated=True),
        _step("change_logsource", product=LOG_SOURCE.product, service=LOG_SOURCE.service),
    ]


def _only(category: str, name: str, conditions: dict[str, Any], *, negated: bool = False) -> ProcessingItem:
    applies = [{"type": "logsource", "category": category}]
    return _step("add_condition", rule_conditions=applies, name=name, conditions=conditions, negated=negated)


def _step(kind: str, **settings: Any) -> ProcessingItem:
    return ProcessingItem.from_dict({"type": kind, **settings})
