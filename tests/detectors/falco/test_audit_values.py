"""What the fields of audit events are read from, as the plugin does it and as it should."""

from typing import Any

import pytest

from detectors.falco.audit_containers import repository
from detectors.falco.audit_event import Mode
from detectors.falco.json_values import JsonValues

POD = {
    "hostNetwork": True,
    "securityContext": {"runAsUser": 7, "supplementalGroups": [1, 2]},
    "containers": [
        {
            "name": "a",
            "image": "reg.io:5000/team/app:1",
            "command": ["sh", "-c", "id"],
            "securityContext": {"privileged": False, "capabilities": {"add": ["SYS_ADMIN", "NET_RAW"]}},
            "ports": [{"containerPort": 80}, {"hostPort": 22, "containerPort": 2222}],
        },
        {"name": "b", "image": "nginx@sha256:0", "securityContext": {"runAsUser": 0}},
    ],
    "initContainers": [{"name": "i", "image": "init", "securityContext": {"privileged": True}}],
    "volumes": [
        {"name": "v", "hostPath": {"path": "/etc"}},
        {"name": "w", "emptyDir": {}},
        {"name": "x", "flexVolume": {"driver": "d"}},
    ],
}
TEMPLATE = {"template": {"spec": POD}}


def audit(**keys: Any) -> dict[str, Any]:
    return {"auditID": "1", "verb": "create", **keys}


def read(doc: dict[str, Any], field: str, arg: str | None = None, mode: Mode = Mode.FIXED) -> Any:
    return JsonValues(doc, mode).get(f"ka.{field}", arg)


@pytest.mark.parametrize(
    ("field", "arg", "compat", "fixed"),
    [
        ("req.pod.host_network", None, "true", "true"),
        ("req.pod.host_pid", None, None, None),
        ("req.pod.run_as_user", None, "7", "7"),
        ("req.pod.supplemental_groups", None, ["1", "2"], ["1", "2"]),
        ("req.pod.containers.name", None, ["a", "b"], ["a", "b", "i"]),
        ("req.pod.containers.name", "1", ["b"], ["b"]),
        ("req.pod.containers.name", "9", None, None),
        ("req.pod.containers.image.repository", None, ["reg.io", "nginx"], ["reg.io:5000/team/app", "nginx", "init"]),
        ("req.pod.containers.command", None, ["sh -c id"], ["sh -c id"]),
        ("req.pod.containers.args", None, None, None),
        ("req.pod.containers.privileged", None, ["false"], ["false", "true"]),
        ("req.pod.initContainers.privileged", None, ["true"], ["true"]),
        ("req.pod.ephemeralContainers.image", None, None, None),
        ("req.pod.containers.host_port", None, ["80", "22"], ["80", "22"]),
        ("req.pod.containers.eff_run_as_user", "0", ["0"], ["7"]),
        ("req.pod.containers.eff_run_as_user", "1", ["0"], ["0"]),
        ("req.pod.containers.add_capabilities", None, ['["SYS_ADMIN","NET_RAW"]'], ["SYS_ADMIN", "NET_RAW"]),
        ("req.container.image", None, "reg.io:5000/team/app:1", "reg.io:5000/team/app:1"),
        ("req.container.privileged", None, "false", "true"),
        ("req.pod.volumes.hostpath", None, ["/etc"], ["/etc"]),
        (
            "req.pod.volumes.volume_type",
            None,
            ["hostPath", "emptyDir", "flexVolume"],
            ["hostPath", "emptyDir", "flexVolume"],
        ),
        ("req.pod.volumes.flexvolume_driver", None, ["d"], ["d"]),
        ("req.volume.hostpath", "/etc", "true", "true"),
        ("req.volume.hostpath", "/e*", "true", "true"),
        ("req.volume.hostpath", "/usr", "false", "false"),
    ],
)
def test_pods(field: str, arg: str | None, compat: Any, fixed: Any) -> None:
    doc = audit(requestObject={"kind": "Pod", "spec": POD})
    assert read(doc, field, arg, Mode.COMPAT) == compat
    assert read(doc, field, arg, Mode.FIXED) == fixed


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"requestObject": {"kind": "Deployment", "spec": TEMPLATE}}, id="deployment"),
        pytest.param({"requestObject": {"kind": "CronJob", "spec": {"jobTemplate": {"spec": TEMPLATE}}}}, id="cronjob"),
        pytest.param({"requestObject": {"kind": "PodTemplate", **TEMPLATE}}, id="pod template"),
        pytest.param(
            {"verb": "patch", "requestObject": [{"op": "add"}], "responseObject": {"kind": "Pod", "spec": POD}},
            id="JSON patch",
        ),
        pytest.param(
            {
                "verb": "patch",
                "requestObject": {"spec": TEMPLATE},
                "responseObject": {"kind": "Status", "status": "Failure"},
            },
            id="patch that failed",
        ),
    ],
)
def test_what_the_plugin_does_not_see(body: dict[str, Any]) -> None:
    doc = audit(**body)
    assert read(doc, "req.pod.containers.name", mode=Mode.COMPAT) is None
    assert read(doc, "req.pod.containers.name", mode=Mode.FIXED) == ["a", "b", "i"]


RULES = [{"verbs": ["get", "*"], "resources": ["pods"]}, {"verbs": ["list"], "nonResourceURLs": ["/x"]}, "junk"]
SUBJECTS = [
    {"kind": "User", "name": "u"},
    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
    {"kind": "Group", "name": "g"},
    7,
]


@pytest.mark.parametrize(
    ("field", "arg", "wanted"),
    [
        ("auditid", None, "1"),
        ("uri.param", "command", "a b"),
        ("uri.param", "none", None),
        ("auth.decision", None, "allow"),
        ("user.groups", None, ["x", "y"]),
        ("response.code", None, "201"),
        ("target.pod.name", None, "p"),
        ("req.role.rules.verbs", None, ["get", "*", "list"]),
        ("req.role.rules.verbs", "1", ["list"]),
        ("req.role.rules.resources", None, ["pods"]),
        ("req.role.rules", "0", ['{"verbs":["get","*"],"resources":["pods"]}']),
        ("req.binding.role", None, "cluster-admin"),
        ("req.binding.subjects.user_names", None, ["u"]),
        ("req.binding.subjects.serviceaccount_ns_names", None, ["n:s"]),
        ("req.binding.subjects.group_names", None, ["g"]),
        ("req.configmap.obj", None, '{"k":"v"}'),
        ("req.binding.subject.has_name", "u", "true"),
        ("impuser.name", None, None),
        ("no.such", None, None),
    ],
)
def test_other_fields(field: str, arg: str | None, wanted: Any) -> None:
    doc = audit(
        requestURI="/api/v1/namespaces/n/pods/p/exec?command=a+b&command=c&x=%zz#y",
        annotations={"authorization.k8s.io/decision": "allow"},
        user={"username": "me", "groups": ["x", None, "y"]},
        responseStatus={"code": 201},
        objectRef={"resource": "pods"},
        responseObject={"metadata": {"name": "p"}},
        requestObject={"rules": RULES, "subjects": SUBJECTS, "roleRef": {"name": "cluster-admin"}, "data": {"k": "v"}},
    )
    assert read(doc, field, arg) == wanted


def test_source_addresses_are_what_the_plugin_never_finds() -> None:
    doc = audit(sourceIPs=["10.0.0.1", "::1"])
    assert read(doc, "sourceips", mode=Mode.COMPAT) is None
    assert read(doc, "sourceips") == ["10.0.0.1", "::1"]
    assert read(doc, "sourceips", "1") == ["::1"]


@pytest.mark.parametrize(
    "value", [None, 1, "x", [], {}, [[]], [None], [{"spec": 1}], {"spec": []}, {"spec": {"containers": {}}}]
)
def test_no_body_is_too_strange(value: Any) -> None:
    doc = audit(verb="patch", requestObject=value, responseObject=value, user=value, objectRef=value, requestURI=value)
    for field in ("req.pod.containers.image", "req.container.privileged", "req.role.rules", "user.groups", "uri.param"):
        assert read(doc, field, "0") in (None, "false")


def test_a_document_that_is_no_audit_event_has_pointers_alone() -> None:
    values = JsonValues({"verb": "create", "a/b": [{"~": 1}]}, time_ns=1_700_000_000_123_456_789)
    assert values.get("ka.verb", None) is None
    assert values.get("jevt.value", "/verb") == "create"
    assert values.get("jevt.value", "/a~1b/0/~0") == "1"
    assert values.get("jevt.value", "/a~1b/1") is None
    assert values.get("jevt.obj", None) == '{"verb":"create","a/b":[{"~":1}]}'
    assert values.get("jevt.rawtime", None) == "1700000000123456789"
    assert values.get("jevt.time", None) == "22:13:20.123456789"
    assert values.get("evt.time.iso8601", None) == "2023-11-14T22:13:20.123456789+0000"


def test_time_is_the_documents_or_not_zero() -> None:
    assert JsonValues({"stageTimestamp": "1970-01-01T00:00:02Z"}).get("evt.rawtime", None) == 2_000_000_000
    assert JsonValues({}).get("jevt.rawtime", None) == "1"


@pytest.mark.parametrize(
    ("image", "wanted"),
    [("a/b", "a/b"), ("a/b:1", "a/b"), ("h:5000/a/b:1@sha256:0", "h:5000/a/b"), ("h:5000/a", "h:5000/a"), ("", "")],
)
def test_repository(image: str, wanted: str) -> None:
    assert repository(image, fixed=True) == wanted
