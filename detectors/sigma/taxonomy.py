"""What the events of our log sources carry: their fields, and where few, the values of these.

A rule that asks for anything else can't match, and its author should hear of it. Sources: k8s.io/apiserver
pkg/apis/audit/v1/types.go and k8s.io/apimachinery pkg/apis/meta/v1/types.go (Status); falcosecurity/falco
userspace/engine/formats.cpp; docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html and
…/vpc/latest/tgw/tgw-flow-logs.html; cilium/cilium api/v1/flow/flow.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from detectors.predicate import Atom, Op, value_test
from detectors.sigma.logsource import contains
from detectors.values import text
from vedette.schema.event import LogSource

INTEGER: Final = frozenset({"an integer"})
"""Stands for all integers in place of a set of values."""
_INTEGER_OPS: Final = frozenset({Op.EQUALS, Op.PREFIX, Op.SUFFIX, Op.CONTAINS})
_ANY_VALUE_OPS: Final = frozenset({Op.EXISTS, Op.NULL, Op.SAME, Op.PREFIX_FIELD, Op.SUFFIX_FIELD, Op.CONTAINS_FIELD})


class Taxonomy(NamedTuple):
    """One kind of events: a name for people, log sources, the names of its fields, and the values of some of them.

    `time_field`: what holds an event's own time.
    """

    name: str
    logsources: tuple[LogSource, ...]
    time_field: str
    fields: re.Pattern[str]
    values: Mapping[str, frozenset[str]]

    def carries(self, field: str | None) -> bool:
        """Say whether events can have the field; keywords look at all of them."""
        return field is None or self.fields.fullmatch(field) is not None

    def can_hold(self, atom: Atom) -> bool:
        """Say whether some value that the field can have passes the atom's test."""
        values = self.values.get(atom.field or "")
        if values is None or atom.op in _ANY_VALUE_OPS:
            return True
        if values is INTEGER:
            return atom.op not in _INTEGER_OPS or re.fullmatch(r"-?\d*", text(atom.value) or "x") is not None
        return any(map(value_test(atom, lambda _: ()), values))


def taxonomies_of(logsource: LogSource) -> list[Taxonomy]:
    """Return the kinds of events that rules of a log source are asked about."""
    return [found for found in TAXONOMIES if any(contains(logsource, source) for source in found.logsources)]


def _words(*lists: str) -> frozenset[str]:
    return frozenset(word for words in lists for word in words.split())


_AUDIT: Final = re.compile(
    r"kind|apiVersion|level|auditID|stage|requestURI|verb|userAgent|sourceIPs|timestamp"
    r"|requestReceivedTimestamp|stageTimestamp"
    r"|(?:user|impersonatedUser)(?:\.(?:username|uid|groups|extra(?:\..+)?))?"
    r"|objectRef(?:\.(?:resource|namespace|name|uid|apiGroup|apiVersion|resourceVersion|subresource))?"
    r"|responseStatus(?:\.(?:kind|apiVersion|status|message|reason|code|(?:metadata|details)(?:\..+)?))?"
    r"|(?:annotations|authenticationMetadata|metadata|requestObject|responseObject)(?:\..+)?"
)
_FALCO: Final = re.compile(
    r"hostname|message|output|output_fields(?:\..+)?|priority|rule|source|tags|time|uuid"
    r"|[a-z][a-z0-9_]*[.\[].+"  # a class of fields, Falco's or a plugin's, and the field
)
_VPC_INTEGERS: Final = _words(
    "version srcport dstport protocol packets bytes start end tcp-flags traffic-path encryption-status",
    "packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired",
)
_VPC_FIELDS: Final = _VPC_INTEGERS | _words(
    "account-id interface-id srcaddr dstaddr action log-status vpc-id subnet-id instance-id type pkt-srcaddr",
    "pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction",
    "ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id",
    "ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id",
    "reject-reason resource-id resource-type tgw-id tgw-attachment-id tgw-pair-attachment-id",
    "tgw-src-vpc-account-id tgw-dst-vpc-account-id tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id",
    "tgw-src-eni tgw-dst-eni tgw-src-az-id tgw-dst-az-id",
)
_HUBBLE: Final = re.compile(
    r"time|uuid|verdict|drop_reason|drop_reason_desc|auth_type|Type|node_name|node_labels|source_names|destination_names"
    r"|reply|is_reply|traffic_direction|policy_match_type|trace_observation_point|trace_reason|debug_capture_point"
    r"|proxy_port|sock_xlate_point|socket_cookie|cgroup_id|policy_log|Summary|connection"
    r"|ethernet(?:\.(?:source|destination))?"
    r"|IP(?:\.(?:source|source_xlated|destination|ipVersion|encrypted))?"
    r"|l4(?:\.(?:TCP|UDP|SCTP)(?:\.(?:source_port|destination_port|flags(?:\.[A-Z]+)?))?"
    r"|\.(?:ICMPv4|ICMPv6|VRRP|IGMP)(?:\.[a-z_]+)?)?"
    r"|(?:source|destination)(?:\.(?:ID|identity|cluster_name|namespace|labels|pod_name|workloads(?:\.(?:name|kind))?))?"
    r"|(?:source|destination)_service(?:\.(?:name|namespace))?"
    r"|l7(?:\.(?:type|latency_ns|(?:dns|http|kafka)(?:\..+)?))?"
    r"|event_type(?:\.(?:type|sub_type))?"
    r"|(?:interface|trace_context|tunnel|emitter|aggregate|file|extensions|(?:egress|ingress)_(?:allowed|denied)_by)(?:\..+)?"
)
_PORTS: Final = tuple(
    f"l4.{protocol}.{end}_port" for protocol in ("TCP", "UDP", "SCTP") for end in ("source", "destination")
)

TAXONOMIES: Final = (
    Taxonomy(
        "Kubernetes audit events",
        (LogSource("kubernetes", "audit", "application"),),
        "stageTimestamp",
        _AUDIT,
        {
            "verb": _words(
                "get list watch create update patch delete deletecollection connect proxy",
                "post put head options",  # of requests for no resource, the HTTP method
            ),
            "level": _words("None Metadata Request RequestResponse"),
            "stage": _words("RequestReceived ResponseStarted ResponseComplete Panic"),
            "responseStatus.code": INTEGER,
            "responseStatus.status": _words("Success Failure"),
            "annotations.authorization.k8s.io/decision": _words("allow forbid"),
        },
    ),
    Taxonomy(
        "Falco alerts",
        (LogSource("falco"), LogSource("falco", "syscall"), LogSource("falco", "k8s_audit")),
        "time",
        _FALCO,
        {"priority": _words("Emergency Alert Critical Error Warning Notice Informational Info Debug")},
    ),
    Taxonomy(
        "VPC flow records",
        (LogSource("aws", "vpcflow"),),
        "end",
        re.compile("|".join(sorted(_VPC_FIELDS))),
        {
            **dict.fromkeys(_VPC_INTEGERS, INTEGER),
            "action": _words("ACCEPT REJECT"),
            "type": _words("IPv4 IPv6 EFA"),
            "flow-direction": _words("ingress egress"),
        },
    ),
    Taxonomy(
        "Hubble flows",
        (LogSource("cilium", "hubble", "flow"),),
        "time",
        _HUBBLE,
        {
            **dict.fromkeys(
                (*_PORTS, "source.identity", "destination.identity", "event_type.type", "event_type.sub_type"), INTEGER
            ),
            "verdict": _words("FORWARDED DROPPED ERROR AUDIT REDIRECTED TRACED TRANSLATED"),
            "Type": _words("L3_L4 L7 SOCK"),
            "traffic_direction": _words("INGRESS EGRESS"),
            "l7.type": _words("REQUEST RESPONSE SAMPLE"),
        },
    ),
)
