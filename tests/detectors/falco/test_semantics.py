"""What comparisons mean: missing values, lists, types, patterns and transformers."""

from typing import Any

import pytest

from detectors.falco.conditions import compile_condition, matches
from detectors.falco.field_types import FieldType
from detectors.falco.lexer import ConditionError
from detectors.falco.operands import constant
from detectors.falco.parser import NESTING_MAX, parse
from detectors.falco.sources import SOURCES
from detectors.falco.syntax import render

SYSCALL = SOURCES["syscall"]
AUDIT = SOURCES["k8s_audit"]


def holds(condition: str, **values: Any) -> bool:
    """Ask of an event whose fields are given with `__` for a dot."""
    given = {name.replace("__", "."): value for name, value in values.items()}
    source = AUDIT if "ka." in condition else SYSCALL
    expr = parse(condition)

    def get(name: str, arg: str | None) -> Any:
        return given.get(name if arg is None else f"{name}.{arg}")

    found = compile_condition(expr, source)(get)
    assert found is matches(expr, source, get)
    return found


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("proc.name = x", False),
        ("proc.name != x", False),
        ("not proc.name = x", True),
        ("proc.name exists", False),
        ("not proc.name in (x)", True),
        ("proc.pid < 5", False),
        ("toupper(proc.name) != X", False),
        ("proc.name = val(proc.pname)", False),
        ("proc.name != allof (x)", False),
        ("len(fd.types) = 0", False),
    ],
)
def test_a_missing_value_makes_a_comparison_false(condition: str, wanted: bool) -> None:
    assert holds(condition) is wanted


@pytest.mark.parametrize(
    ("condition", "groups", "wanted"),
    [
        ("ka.user.groups in (a, b)", ["a", "b"], True),
        ("ka.user.groups in (a)", ["a", "b"], False),
        ("ka.user.groups intersects (b, c)", ["a", "b"], True),
        ("ka.user.groups intersects (c)", ["a", "b"], False),
        ("ka.user.groups in (a)", [], False),
        ("ka.user.groups exists", [], False),
        ("len(ka.user.groups) = 2", ["a", "b"], True),
        ('join("+", ka.user.groups) = "a+b"', ["a", "b"], True),
        ("toupper(ka.user.groups) in (A, B)", ["a", "b"], True),
    ],
)
def test_a_list_is_compared_as_a_whole(condition: str, groups: list[str], wanted: bool) -> None:
    assert holds(condition, ka__user__groups=groups) is wanted


@pytest.mark.parametrize(
    ("condition", "value", "wanted"),
    [
        ("proc.name = abc", "ABC", False),
        ("proc.name icontains ABC", "xabcx", True),
        ("proc.name icontains É", "é", False),
        ("proc.name >= 400", "1000", False),
        ("proc.name glob /a/*", "/a/b/c", True),
        ("proc.name glob a?c", "abc", True),
        ("proc.name glob [!a-c]x", "dx", True),
        ("proc.name glob [!a-c]x", "bx", False),
        ("proc.name glob '[[:digit:]]'", "7", True),
        ("proc.name glob '[z-a]'", "[z-a]", True),
        ("proc.name glob 'a[b'", "a[b", True),
        ("proc.name glob a*", "a\nb", True),
        ("proc.name iglob A*", "abc", True),
        ("proc.name regex ab+", "abb", True),
        ("proc.name regex ab+", "xabb", False),
        ("proc.name regex '[[:digit:]]+'", "12", True),
        ("proc.name pmatch (/var/run)", "/var/run/docker", True),
        ("proc.name pmatch (/var/run)", "/var/runx", False),
        ("proc.name pmatch (/var/run/)", "/var/run", True),
        ("proc.name pmatch (/v*/run)", "/var/run/x", True),
        ("proc.name pmatch (/)", "/x", True),
        ("proc.name pmatch ()", "/x", False),
        ("b64(proc.name) = hi", "aGk", True),
        ("b64(proc.name) = hi", "aGk=", True),
        ("b64(proc.name) exists", "?", False),
        ("basename(proc.name) = c", "/a/b/c", True),
        ('basename(proc.name) = ""', "/a/", True),
        ("len(proc.name) = 2", "é", True),
        ("concat(proc.name, proc.name) = abab", "ab", True),
        ("proc.name = oneof (a, a)", "a", False),
        ("proc.name startswith anyof (x, a)", "ab", True),
        ("proc.name contains allof (a, c)", "ab", False),
        ("proc.name = oneof", "oneof", True),
        ("proc.name = '\\x41'", "A", True),
    ],
)
def test_text(condition: str, value: str, wanted: bool) -> None:
    assert holds(condition, proc__name=value) is wanted


@pytest.mark.parametrize(
    ("condition", "values", "wanted"),
    [
        ("proc.pid > 0x10", {"proc__pid": 17}, True),
        ("proc.pid in (1, 2)", {"proc__pid": "2"}, True),
        ("evt.is_io = true", {"evt__is_io": True}, True),
        ("evt.is_io != true", {"evt__is_io": "false"}, True),
        ("evt.buffer contains ab", {"evt__buffer": b"xabx"}, True),
        ("evt.buffer bstartswith 6162", {"evt__buffer": "abc"}, True),
        ("fd.ip != 1.2.3.4", {"fd__ip": ["1.2.3.4", "5.6.7.8"]}, False),
        ("fd.sip != 1.2.3.4", {"fd__sip": "::1"}, True),
        ("fd.snet = 10.0.0.7/8", {"fd__snet": "10.9.9.9"}, True),
        ("fd.snet in (10.0.0.0/8, ::/0)", {"fd__snet": "11.0.0.1"}, False),
        ("evt.rawarg.res < -1", {"evt__rawarg__res": -22}, True),
        ("evt.rawarg.res != 5", {"evt__rawarg__res": -22}, True),
        ("evt.rawarg.res contains 5", {"evt__rawarg__res": 5}, False),
        ("evt.rawarg.name startswith a", {"evt__rawarg__name": "abc"}, True),
        ("evt.rawarg.flag != true", {"evt__rawarg__flag": False}, True),
        ("evt.rawarg.data bcontains 62", {"evt__rawarg__data": b"abc"}, True),
        ("evt.rawarg.data glob a*", {"evt__rawarg__data": b"abc"}, False),
        ("evt.rawarg.data bcontains 62", {"evt__rawarg__data": "abc"}, True),
        ("evt.rawarg.data < 5", {"evt__rawarg__data": True}, False),
        ("evt.rawarg.data in (1, 2)", {"evt__rawarg__data": 2}, True),
        ("evt.rawarg.data pmatch (/a)", {"evt__rawarg__data": "/a/b"}, True),
        ("evt.rawarg.data pmatch (/a)", {"evt__rawarg__data": 5}, False),
        ("evt.rawarg.data = abc", {"evt__rawarg__data": b"abc"}, True),
        ("b64(evt.buffer) contains hi", {"evt__buffer": b"aGk="}, True),
        ("fd.types in (file, ipv4)", {"fd__types": ["file", {}]}, False),
        ("evt.arg.flags contains CREAT", {"evt__arg__flags": "O_CREAT"}, True),
        ("proc.aname in (sh)", {"proc__aname": ["bash", "sh"]}, True),
        ("proc.pid = 5", {"proc__pid": "x"}, False),
        ("proc.pid != 5", {"proc__pid": {}}, False),
        ("proc.name = val(proc.pname)", {"proc__name": "a", "proc__pname": "a"}, True),
    ],
)
def test_types(condition: str, values: dict[str, Any], wanted: bool) -> None:
    assert holds(condition, **values) is wanted


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ('getopt(proc.args, "ab:c")[b] = x', True),
        ('getopt(proc.args, "ab:c")[a] = ""', True),
        ('getopt(proc.args, "ab:cz")[z] exists', False),
        ('getopt(proc.args, "ab:c") intersects (c)', True),
        ('getopt(proc.args, "ab:c") in (a, b, c)', True),
        ('getopt(proc.args, "z") exists', False),
    ],
)
@pytest.mark.parametrize("args", [["-ac", "-b", "x", "file"], ["-acbx", "-q", "--", "-z"], "-c -a -bx"])
def test_options_are_read_as_getopt_does(condition: str, wanted: bool, args: Any) -> None:
    assert holds(condition, proc__args=args) is wanted
    assert not holds(condition)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("proc.nobody = x", "nonexistent field proc.nobody"),
        ("evt.type = opne", "unknown event type opne"),
        ("ka.user.groups contains x", "'contains' operator not supported list filters"),
        ("ka.user.groups = x", "'=' operator not supported list filters"),
        ("proc.pid contains 1", "not supported for numeric filters"),
        ("proc.pid = abc", "abc is not a valid number"),
        ("evt.cpu = 40000", "40000 is out of range for type 'INT16'"),
        ("user.uid = -1", "-1 is out of range for type 'UINT32'"),
        ("evt.is_io = maybe", "unrecognized boolean 'maybe'"),
        ("fd.ip = 1.2.3", "unrecognized IP address 1.2.3"),
        ("fd.net = 10.0.0.0", "write it as address/bits"),
        (r"proc.name regex \d+", "invalid regex pattern"),
        ("proc.name regex '(?i)x'", "invalid regex pattern"),
        ("proc.name regex val(proc.pname)", "doesn't support right-hand side fields"),
        ("proc.name = val(proc.pid)", "incompatible type 'INT64'"),
        ("toupper(proc.pid) = 1", "type 'INT64' is not supported by 'toupper'"),
        ("toupper(proc.aname) = A", "field 'proc.aname' does not support transformers"),
        ("evt.buffer bcontains zz", "support hex strings only"),
        ("proc.name[1] = x", "field 'proc.name' takes no argument"),
        ("proc.aname[01] = x", "a position counted from 0"),
        ("container.mount.dest = x", "requires an argument"),
        ('join(proc.name, ",") = x', "a string and a list"),
        ("toupper(proc.name, proc.name) = A", "'toupper' takes one field or transformer"),
        ('toupper("a") = A', "'toupper' takes one field or transformer"),
        ("toupper(proc.name)[a] = A", "'toupper' takes no argument in brackets"),
        ("getopt(proc.args) exists", "'getopt' takes two arguments"),
        ('join(",") exists', "'join' takes two arguments"),
        ('join(",", (fd.types, proc.name)) exists', "holds single values, not lists"),
        ("fd.net = val(fd.snet)", "field type 'IPNET' doesn't support right-hand side fields"),
        ("proc.aname = val(proc.name)", "field 'proc.aname' doesn't support right-hand side fields"),
        ("proc.name = val(proc.aname)", "field 'proc.aname' can't be used as a right-hand side field"),
        ("concat(proc.name) = A", "'concat' takes two strings or more"),
        ('getopt(proc.args, "ab")[c] exists', "one of the options 'ab'"),
        ("never_defined", "unexpected identifier 'never_defined'"),
    ],
)
def test_what_does_not_fit_is_refused(condition: str, reason: str) -> None:
    with pytest.raises(ConditionError) as refused:
        compile_condition(parse(condition), AUDIT if "ka." in condition else SYSCALL)
    assert reason in refused.value.message


def test_nesting_is_bounded() -> None:
    deep = "(" * NESTING_MAX + "a.b=1" + ")" * NESTING_MAX
    with pytest.raises(ConditionError, match="exceeded max depth"):
        parse(deep)
    with pytest.raises(ConditionError, match="exceeded max depth"):
        parse("not(" * 100_000)
    assert render(parse(deep[1:-1])) == "a.b = 1"


def test_a_port_may_be_empty() -> None:
    assert constant(FieldType.PORT, "", "=") == 0
