"""What each field of an alert document means, in the order of a document. The reference page is made of this.

`[]` stands for each item of a list. Lists of texts have no rows for their items. A field that a document may lack says
when it is there; facts (`unmapped.facts.…`) are described where they are declared, `vedette.schema.event.Facts`.
"""

from __future__ import annotations

from typing import Final

_ANALYTIC: Final = {
    "uid": "The rule's id.",
    "name": "The rule's title.",
    "type": "Always `Rule`.",
    "type_id": "Always 1.",
}
_CLAUSE: Final = {
    "where": "Where the clause stands in the rule: `selection.verb`.",
    "field": "The field of the event that it asks.",
    "test": 'What it asks of it: `equals "exec"`.',
    "path": "Where the value stands in the event.",
    "value": "The value that was found, as text; null: there was none.",
    "negated": "That the test did *not* hold is what counted.",
}
_RULE: Final = {
    "id": "Its id.",
    "title": "Its title.",
    "level": "`informational`, `low`, `medium`, `high` or `critical`.",
    "status": "Sigma's status, such as `stable`.",
    "author": "Who wrote it.",
    "pack": "The pack that it came with; empty for rules of your own.",
    "attack": "Ids of ATT&CK tactics and techniques.",
    "controls": "NIST SP 800-53 and SP 800-190 controls that it serves.",
    "tags": "Its tags, as written.",
    "references": "Pages about what it detects.",
    "falsepositives": "What could be harmless.",
    "dedup_by": "Fields whose values make findings one alert.",
    "dedup_as": "The name under which it shares alerts with other rules; empty: it shares none.",
}
_CONTRIBUTION: Final = {
    **{name: _RULE[name] for name in ("id", "title", "level", "pack", "attack", "controls", "tags")},
    "count": "Findings of this rule.",
    "first_seen_ns": "Event time of its earliest finding.",
    "last_seen_ns": "Event time of its latest finding.",
    "seq": "Number of the record of its first finding in the intake log.",
    "source": "Configured name of the source of that record.",
    "what": "Its first finding in a sentence that is safe to show.",
}
_TECHNIQUE: Final = {"uid": "Id: `{}`.", "name": "Name.", "src_url": "Page of ATT&CK."}


def _below(prefix: str, fields: dict[str, str]) -> dict[str, str]:
    return {f"{prefix}.{name}": meaning for name, meaning in fields.items()}


def _technique(prefix: str, example: str) -> dict[str, str]:
    return {name: meaning.format(example) for name, meaning in _below(prefix, _TECHNIQUE).items()}


FIELDS: Final[dict[str, str]] = {
    "message": "What happened, in one line made to be shown: control and invisible characters are escaped.",
    "severity": "Level of the rule, the highest of those that share the alert.",
    "severity_id": "The same as a number: 1 informational, 2 low, 3 medium, 4 high, 5 critical.",
    "count": "Findings so far.",
    "activity_id": "1 Create: the first revision; 2 Update: findings joined; 3 Close: the last one.",
    "activity_name": "The same as text.",
    "time": "When this revision left: arrival time of the record that caused it.",
    "start_time": "Event time of the earliest finding.",
    "end_time": "Event time of the latest finding.",
    "duration": "Milliseconds between these two.",
    "status": "Always `New`: what analysts decide is not the sensor's to say.",
    "status_id": "Always 1.",
    "category_uid": "Always 2.",
    "category_name": "Always `Findings`.",
    "class_uid": "Always 2004.",
    "class_name": "Always `Detection Finding`.",
    "type_uid": "200400 and the activity.",
    "type_name": "The same as text.",
    "metadata.uid": "Id of this revision: alert, generation, revision. Drop repeats by it.",
    "metadata.correlation_uid": "The same for alerts of one rule (or of those that share alerts) on the same thing, "
    "over all windows.",
    "metadata.labels": "Cluster and labels of the source as `key:value`.",
    "metadata.profiles": "OCSF profiles in use: `cloud`, or none.",
    "metadata.version": "Version of OCSF.",
    "metadata.product.name": "Always `Vedette`.",
    "metadata.product.vendor_name": "Always `Vedette`.",
    "metadata.product.version": "Version of Vedette.",
    "finding_info.uid": "Id of the alert, the same in every revision: 32 hex digits.",
    "finding_info.title": "Title of the rule.",
    "finding_info.desc": "Description of the rule.",
    "finding_info.created_time": "Arrival of the first finding.",
    "finding_info.modified_time": "As `time`.",
    "finding_info.first_seen_time": "As `start_time`.",
    "finding_info.last_seen_time": "As `end_time`.",
    "finding_info.data_sources": "Formats of the samples: `kube_audit`, `falco` …",
    **_below("finding_info.analytic", _ANALYTIC),
    **{
        name: f"{meaning} Of the other rules that see the same."
        for name, meaning in _below("finding_info.related_analytics[]", _ANALYTIC).items()
    },
    **_technique("finding_info.attacks[].tactic", "TA0002"),
    **_technique("finding_info.attacks[].technique", "T1059"),
    **_technique("finding_info.attacks[].sub_technique", "T1059.004"),
    "resources[].type": "Targets, the nearest first: the API resource (`pods/exec`), then `pod`, `container`, `image`, "
    "the workload's kind, `namespace`, `node`, `cluster`.",
    "resources[].name": "Name of the target.",
    "resources[].namespace": "Its namespace, if it has one.",
    "resources[].uid": "Id of a container, digest of an image.",
    "resources[].version": "Tag of an image.",
    "resources[].group.name": "API group of an API resource.",
    "resources[].data.registry": "Of an image: its registry.",
    "resources[].data.repository": "Of an image: its repository.",
    "resources[].data.tag": "Of an image: its tag.",
    "resources[].data.digest": "Of an image: its digest.",
    "resources[].data.inferred": "Of a workload: whether it was guessed from the pod's name.",
    "evidences[].name": "A sample of the findings, up to five: its format.",
    "evidences[].uid": "As `data.uid`.",
    "evidences[].data.seq": "Number of the record in the intake log.",
    "evidences[].data.uid": "Content id: a hash of what the event says.",
    "evidences[].data.event_ids": "The source's own ids: auditID …",
    "evidences[].data.time_ns": "When it happened.",
    "evidences[].data.arrival_ns": "When it arrived.",
    "evidences[].data.source": "Configured name of the source.",
    "evidences[].data.format": "Format of the record.",
    "evidences[].data.origin": "File, topic or address that it came from.",
    "evidences[].data.record": "Line or number in it.",
    "evidences[].data.raw": "The record as received, at most its first 16 KiB.",
    "evidences[].data.cut": "Whether `raw` was shortened.",
    "evidences[].actor.user.name": "Of the first sample, as all that follows in evidence: who did it.",
    "evidences[].actor.user.type": "`User`, `System`, `Service Account` or `Unknown`.",
    "evidences[].actor.user.type_id": "The same as a number: 1, 3, 99, 0.",
    "evidences[].actor.user.groups[].name": "Groups of the user.",
    "evidences[].actor.user.credential_uid": "Id of the credential.",
    "evidences[].api.operation": "What was asked of the API.",
    "evidences[].api.group.name": "API group of what it was asked of.",
    "evidences[].api.request.uid": "Id of the request.",
    "evidences[].api.response.code": "HTTP status of the answer.",
    "evidences[].process.name": "The program.",
    "evidences[].process.cmd_line": "Its command line.",
    "evidences[].container.name": "The container.",
    "evidences[].container.uid": "Its id.",
    "evidences[].container.image.name": "Reference of its image.",
    "evidences[].container.image.uid": "Digest of the image, else its reference.",
    "evidences[].container.image.tag": "Tag of the image.",
    "evidences[].src_endpoint.ip": "The peer that the sensor saw.",
    "evidences[].src_endpoint.hostname": "The same, if it is known by name.",
    "evidences[].src_endpoint.port": "Its port.",
    "evidences[].src_endpoint.intermediate_ips": "What a client claims to have come through.",
    "evidences[].dst_endpoint.ip": "Where it went, if that is an address.",
    "evidences[].dst_endpoint.hostname": "Where it went, if that is a name.",
    "evidences[].dst_endpoint.port": "To which port.",
    "evidences[].connection_info.protocol_name": "Transport protocol.",
    "evidences[].connection_info.direction_id": "Always 0: unknown.",
    "cloud.provider": "From the source's labels `cloud.…` (OpenTelemetry's names), if it has them: `aws` …",
    "cloud.region": "Region.",
    "cloud.zone": "Availability zone.",
    "cloud.account.uid": "Account.",
    "cloud.account.name": "The same.",
    "cloud.account.type": "Kind of account.",
    "cloud.account.type_id": "The same as a number.",
    "unmapped.alert_id": "As `finding_info.uid`.",
    "unmapped.generation": "Rises when a replay came out differently.",
    "unmapped.revision": "Number of the revision, from 1.",
    "unmapped.version": "`generation` · 2³² + `revision`: of two revisions the one with the greater version holds.",
    "unmapped.time_ns": "As `time`.",
    "unmapped.opened_ns": "Arrival of the first finding: the roll-up window begins.",
    "unmapped.closes_ns": "When the window is over.",
    "unmapped.first_seen_ns": "As `start_time`.",
    "unmapped.last_seen_ns": "As `end_time`.",
    "unmapped.seq": "Number of the opening finding's record in the intake log.",
    "unmapped.cluster": "Cluster of the source.",
    "unmapped.labels": "Labels of the source.",
    **_below("unmapped.rule", _RULE),
    "unmapped.dedup_values": "What, with rule (or `dedup_as`) and cluster, makes findings one alert.",
    "unmapped.workload.kind": "Kind of the workload; empty where unknown.",
    "unmapped.workload.name": "Its name; empty where unknown.",
    "unmapped.workload.namespace": "Its namespace; empty where unknown.",
    "unmapped.workload.inferred": "Whether it was guessed from the pod's name.",
    **_below("unmapped.explanation[]", _CLAUSE),
    "unmapped.incomplete": "What the source left out: `truncated`, `unresolved`.",
    "unmapped.cut": "Names of facts that were shortened.",
    **_below("unmapped.rules[]", _CONTRIBUTION),
    **_below("unmapped.rules[].explanation[]", _CLAUSE),
    "unmapped.unlisted": "Of an alert that rules share: findings of rules beyond the sixteen listed ones.",
}
"""Meaning by path. What begins with `unmapped.rules` is there in alerts that several rules share."""
