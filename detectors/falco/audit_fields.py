"""The fields of Falco's `k8s_audit` source, and those that look into any JSON document.

Names, list-ness and arguments: falcosecurity/plugins, plugins/k8saudit/README.md and plugins/json/README.md. All are
strings, numbers and booleans being their JSON text.
"""

from __future__ import annotations

from typing import Final

from detectors.falco.field_types import Argument, FieldTable, FieldType, table
from detectors.falco.syscall_fields import EVENT_FIELDS

CONTAINER_LISTS: Final = ("containers", "initContainers", "ephemeralContainers")
"""The container lists of a pod's specification, each with its family of fields."""

_SCALARS: Final = """
    ka.auditid ka.stage ka.auth.decision ka.auth.reason ka.auth.openshift.decision ka.auth.openshift.username
    ka.validations.admission.policy.failure ka.security.pod.violations ka.user.name ka.impuser.name ka.verb ka.uri
    ka.uri.param ka.target.name ka.target.namespace ka.target.resource ka.target.subresource ka.target.pod.name
    ka.req.binding.role ka.req.binding.subject.has_name ka.req.configmap.name ka.req.configmap.obj
    ka.req.container.image ka.req.container.image.repository ka.req.pod.host_ipc ka.req.pod.host_network
    ka.req.container.host_network ka.req.pod.host_pid ka.req.container.privileged ka.req.pod.run_as_user
    ka.req.pod.run_as_group ka.req.pod.fs_group ka.req.service.type ka.req.volume.hostpath ka.resp.name
    ka.response.code ka.response.reason ka.useragent ka.cluster.name"""
_LISTS: Final = """
    ka.user.groups ka.req.binding.subjects ka.req.binding.subjects.user_names
    ka.req.binding.subjects.serviceaccount_names ka.req.binding.subjects.serviceaccount_ns_names
    ka.req.binding.subjects.group_names ka.req.role.rules ka.req.pod.supplemental_groups"""
_IN_CONTAINER: Final = """
    name image image.repository command args host_port privileged allow_privilege_escalation read_only_fs run_as_user
    eff_run_as_user run_as_group eff_run_as_group proc_mount add_capabilities"""
_INDEXED: Final = " ".join(
    (
        "ka.req.role.rules.apiGroups ka.req.role.rules.nonResourceURLs ka.req.role.rules.verbs",
        "ka.req.role.rules.resources ka.req.service.ports ka.req.pod.volumes.hostpath",
        "ka.req.pod.volumes.flexvolume_driver ka.req.pod.volumes.volume_type ka.sourceips",
        *(
            f"ka.req.pod.{family}.{name}"
            for family in CONTAINER_LISTS
            for name in _IN_CONTAINER.split()
            if (family, name) != ("ephemeralContainers", "host_port")  # they have no ports
        ),
    )
)

JSON_FIELDS: Final[FieldTable] = EVENT_FIELDS | table(
    {
        FieldType.CHARBUF: """jevt.value jevt.obj jevt.time jevt.time.iso8601 jevt.rawtime
            json.value json.obj json.time json.rawtime"""
    },
    arguments={Argument.KEY_REQUIRED: "jevt.value json.value"},
)
"""Fields for any JSON document: `jevt.value[/json/pointer]` and what stands around it."""

AUDIT_FIELDS: Final[FieldTable] = JSON_FIELDS | table(
    {FieldType.CHARBUF: f"{_SCALARS} {_LISTS} {_INDEXED}"},
    arguments={
        Argument.KEY_REQUIRED: "ka.uri.param ka.req.binding.subject.has_name ka.req.volume.hostpath",
        Argument.INDEX: _INDEXED,
    },
    lists=f"{_LISTS} {_INDEXED}",
)
