"""Rule files: what later items do to earlier ones, what is warned of, and where errors are."""

from typing import Any

import pytest

from detectors.falco import FalcoRules, load_falco_rules
from detectors.falco.diagnostics import LoadCode
from detectors.falco.documents import DEPTH_MAX, TEXT_CHARS_MAX
from detectors.falco.expanding import CHECKS_MAX
from detectors.falco.syntax import render
from detectors.rule import RuleText
from vedette.schema.event import LogSource
from vedette.schema.level import Level

RULE = """
- rule: r
  desc: d
  condition: {condition}
  output: o
  priority: warning
  source: k8s_audit
"""


TUPLES = "{name: e, fields: [ka.verb, ka.stage], comps: [=, in], values: [[a, [b, c]], [d, e]]}"


def load(*texts: str) -> FalcoRules:
    return load_falco_rules([RuleText(f"{at}.yaml", text, f"pack{at}") for at, text in enumerate(texts)])


def rule(condition: str = "ka.verb = get") -> str:
    return RULE.replace("{condition}", condition)


def condition(*texts: str) -> str:
    found = load(*texts)
    assert found.errors == ()
    return render(found.rules[0].condition)


def only_error(*texts: str) -> str:
    found = load(*texts)
    assert len(found.errors) == 1
    return str(found.errors[0])


@pytest.mark.parametrize(
    ("lists", "given", "wanted"),
    [
        ("[a, b c, '\"d e\"']", "ka.verb in (l)", 'ka.verb in (a, "b c", "d e")'),
        ("[a]", "ka.verb = l", "ka.verb = a"),
        ("[a]", "ka.verb in (x,l)", "ka.verb in (x, a)"),
        ("[]", "ka.verb in (x, l)", "ka.verb in (x)"),
        ("[]", "ka.verb in (l, x)", "ka.verb in (x)"),
        ("[]", "ka.verb in (l)", "ka.verb in ()"),
        ("[a]", "ka.verb in (ll, l.l, l)", "ka.verb in (ll, l.l, a)"),
    ],
)
def test_lists_are_put_in_as_text(lists: str, given: str, wanted: str) -> None:
    assert condition(f"- list: l\n  items: {lists}\n{rule(given)}") == wanted


def test_a_list_may_name_lists_above_it_one_level_deep() -> None:
    lists = (
        "- {list: a, items: [x]}\n- {list: b, items: [a, y]}\n- {list: c, items: [later]}\n- {list: later, items: [z]}"
    )
    assert condition(f"{lists}\n{rule('ka.verb in (b, c)')}") == "ka.verb in (x, y, z)"


def test_macros_keep_together_and_see_those_above() -> None:
    macros = "- macro: m\n  condition: ka.verb = a or ka.verb = b\n- macro: n\n  condition: not m\n"
    assert condition(macros + rule("n and ka.stage = x")) == "(not (ka.verb = a or ka.verb = b) and ka.stage = x)"
    below = "- macro: n\n  condition: m and ka.verb = z\n- macro: m\n  condition: ka.verb = a\n"
    assert "macro 'n': Undefined macro 'm' used in filter." in only_error(below + rule("n"))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("{rule: r, condition: or ka.verb = b, append: true}", "(ka.verb = get or ka.verb = b)"),
        ("{rule: r, condition: and ka.verb = b, override: {condition: append}}", "(ka.verb = get and ka.verb = b)"),
        ("{rule: r, condition: ka.verb = b, override: {condition: replace}}", "ka.verb = b"),
        (
            "{rule: r, exceptions: [{name: e, fields: ka.verb, values: [x, 'y z']}], override: {exceptions: append}}",
            '(ka.verb = get and not ka.verb in (x, "y z"))',
        ),
        (
            f"{{rule: r, append: true, exceptions: [{TUPLES}]}}",
            "(ka.verb = get and not ((ka.verb = a and ka.stage in (b, c)) or (ka.verb = d and ka.stage in (e))))",
        ),
    ],
)
def test_rules_are_changed(change: str, wanted: str) -> None:
    assert condition(rule(), f"- {change}") == wanted


def test_a_new_definition_keeps_its_place() -> None:
    other = rule().replace("rule: r", "rule: s")
    found = load(rule() + other, rule("ka.verb = new"))
    assert [(item.name, render(item.condition)) for item in found.rules] == [
        ("r", "ka.verb = new"),
        ("s", "ka.verb = get"),
    ]


def test_what_a_rule_says_of_itself() -> None:
    found = load(rule() + "  tags: [k8s, T1609, t1611.001, mitre_execution]\n  enabled: no\n")
    info = found.rules[0].info
    assert (info.rule_id, info.title, info.level, info.pack) == ("falco:r", "r", Level.MEDIUM, "pack0")
    assert info.attack == ("T1609", "T1611.001")
    assert info.tags == ("T1609", "k8s", "mitre_execution", "t1611.001")
    assert not found.rules[0].enabled
    assert LogSource("kubernetes", "audit") == found.rules[0].logsource


def test_the_content_hash_is_of_what_a_rule_detects_and_says() -> None:
    hashes = [
        load(text).rules[0].content_hash
        for text in (rule(), "# moved\n" + rule(), rule("ka.verb  =  'get'"), rule("ka.verb = put"))
    ]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (rule("ka.verb = get and ka.nothing = 1"), "0.yaml:4:32"),
        (rule('"ka.verb = get and ka.nothing = 1"'), "0.yaml:4:33"),
        (rule(">\n    ka.verb = get\n    and\n    ka.nothing = 1"), "0.yaml:7:5"),
        (rule("|-\n    ka.verb = get\n    and (ka.stage"), "0.yaml:6:18"),
        (rule() + "- rule: r\n  append: true\n  condition: and ka.nothing = 1\n", "0.yaml:10:18"),
        ("- {list: l, items: [a, b, c]}\n" + rule("ka.verb in (l) and ka.nothing = 1"), "0.yaml:5:33"),
        ("- macro: m\n  condition: ka.verb = a and ka.nothing = 1\n" + rule("m"), "0.yaml:2:30"),
        (rule().replace("output: o", "output: 'a %ka.verb %ka.nothing'"), "0.yaml:5:24"),
        ("- rule: r\n  condition: [a]\n  desc: d", "0.yaml:2:14"),
        ("- rule: r\n  desc: d", "0.yaml:1:3"),
        ("- list: l\n  items: x", "0.yaml:2:10"),
        ("a: b: c", "0.yaml:1:5"),
        ("a", "0.yaml:1:1"),
        ("\n- x", "0.yaml:2:3"),
        ("- rule: r\n  override: {condition: maybe}", "0.yaml:2:25"),
        (rule().replace("warning", "loud"), "0.yaml:6:13"),
        ("- required_engine_version: 99", "0.yaml:1:3"),
        ("- required_plugin_versions: [{name: x, version: new}]", "0.yaml:1:49"),
    ],
)
def test_errors_name_their_place(text: str, place: str) -> None:
    assert only_error(text).startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("{rule: r, append: true, override: {condition: append}, condition: x}", "cannot be used together"),
        ("{macro: m, condition: x, append: true, override: {condition: append}}", "cannot be used together"),
        ("{rule: r, override: [condition]}", "Value of 'override' is not a mapping"),
        ("{rule: r, priority: debug, override: {priority: append}}", "'priority' cannot be appended to"),
        ("{rule: r, source: x, override: {source: replace}}", "'source' cannot be replaced"),
        ("{rule: r, condition: x, override: {condition: prepend}}", "Allowed values are: append replace"),
        ("{rule: r, override: {tags: append}}", "An append override for 'tags' was specified"),
        ("{rule: r, tags: [a], desc: d, override: {tags: append}}", "Unexpected key 'desc'"),
        ("{rule: s, tags: [a], override: {tags: append}}", "no rule by that name already exists"),
        ("{rule: s, tags: [a], override: {tags: replace}}", "no rule by that name already exists"),
        ("{rule: s, enabled: true}", "no rule by that name already exists"),
        ("{macro: m, condition: x, append: true}", "no macro by that name already exists"),
        ("{list: l, items: [x], append: true}", "no list by that name already exists"),
        ("{rule: r, append: true}", "must have exceptions or condition"),
        ("{rule: r, append: true, source: syscall, condition: and evt.num = 0}", "re-defined with a different source"),
        ("{rule: r, exceptions: {a: b}, append: true}", "Rule exceptions must be a sequence"),
        ("{rule: r, exceptions: [a], append: true}", "Rule exception must be a mapping"),
        (
            "{rule: r, exceptions: [{name: e, fields: ka.verb, values: [[a]]}], append: true}",
            "contain a list of strings",
        ),
        (
            "{rule: r, exceptions: [{name: e, fields: ka.verb, comps: [in], values: [a]}], append: true}",
            "both be strings",
        ),
        (
            "{rule: r, exceptions: [{name: e, fields: [ka.verb], comps: [], values: [[a]]}], append: true}",
            "equal length",
        ),
        (
            "{rule: r, exceptions: [{name: e, fields: [no.such], values: [[a]]}], append: true}",
            "not a supported filter field",
        ),
        (
            "{rule: r, exceptions: [{name: old, fields: ka.verb, values: [b]}], append: true}",
            "Can not append exception fields",
        ),
        (
            "{rule: r, exceptions: [{name: old, comps: in, values: [b]}], append: true}",
            "Can not append exception comps",
        ),
        ("{required_plugin_versions: x}", "must be a sequence"),
        ("{required_plugin_versions: [x]}", "must be a mapping"),
        (
            "{required_plugin_versions: [{name: x, version: 1.0.0, alternatives: [{name: x, version: 1.0.0}]}]}",
            "Defined multiple alternative version requirements",
        ),
    ],
)
def test_changes_that_make_no_sense_are_refused(change: str, reason: str) -> None:
    old = rule() + "  exceptions: [{name: old, fields: ka.verb, values: [a]}]\n"
    assert reason in only_error(old, f"- {change}")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("{name: e, values: a}", "Rule exception values must be a sequence"),
        ("{name: e, fields: {}}", "neither a text nor a list"),
        ("{name: e, fields: ka.verb, values: ['']}", "must be non-empty"),
        ("{name: e, fields: ka.verb}", "must have values property"),
        ("{name: e, values: [a]}", "must have fields property"),
        ("{name: e, fields: [[ka.verb]], values: [[a]]}", "a text, not a list"),
    ],
)
def test_exceptions_that_make_no_sense_are_refused(item: str, reason: str) -> None:
    old = rule() + "  exceptions: [{name: old, fields: ka.verb, values: [a]}]\n"
    assert reason in only_error(old, f"- {{rule: r, exceptions: [{item}], append: true}}")


def test_replacing() -> None:
    keys = "condition: ka.stage = x, output: new, desc: new, priority: error, tags: [new], enabled: no, capture: on"
    more = "capture_duration: 5, warn_evttypes: no, skip-if-unknown-filter: yes, exceptions: []"
    names = [part.partition(":")[0] for part in f"{keys}, {more}".split(", ")]
    override = ", ".join(f"{name}: replace" for name in names)
    old = rule() + "  tags: [old]\n  exceptions: [{name: old, fields: ka.verb, values: [a]}]\n"
    found = load(old, f"- {{rule: r, {keys}, {more}, override: {{{override}}}}}")
    assert found.errors == ()
    (replaced,) = found.rules
    assert (render(replaced.condition), replaced.output_text, replaced.priority) == ("ka.stage = x", "new", "Error")
    assert (replaced.info.description, replaced.info.tags, replaced.enabled) == ("new", ("new",), False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (rule("ka.verb = <NA>"), LoadCode.UNSAFE_NA_CHECK),
        (rule("ka.verb = ka.stage"), LoadCode.COMPILE_CONDITION),
        (rule("ka.verb = nothing.of.it or ka.zzz = 1") + "  skip-if-unknown-filter: true", LoadCode.UNKNOWN_FILTER),
        (rule() + "  typo: 1", LoadCode.UNKNOWN_KEY),
        (rule() + "  desc: again", LoadCode.UNKNOWN_KEY),
        (rule().replace("k8s_audit", "okta"), LoadCode.UNKNOWN_SOURCE),
        (rule() + "- macro: m\n  condition: ka.verb = a", LoadCode.UNUSED_MACRO),
        (rule() + "- list: m\n  items: []", LoadCode.UNUSED_LIST),
        (rule() + "- some: thing", LoadCode.UNKNOWN_ITEM),
        (rule("fd.name = a").replace("k8s_audit", "syscall"), LoadCode.NO_EVTTYPE),
        ("- required_engine_version: 2\n" + rule("ka.user.groups contains x"), LoadCode.COMPILE_CONDITION),
    ],
)
def test_warnings(text: str, code: LoadCode) -> None:
    found = load(text)
    assert found.errors == ()
    assert [warning.code for warning in found.warnings] == [code]
    assert all(warning.line for warning in found.warnings)


def test_a_file_is_compiled_with_those_before_it() -> None:
    assert "Undefined macro 'm'" in only_error(rule("m"), "- macro: m\n  condition: ka.verb = a")
    assert condition("- macro: m\n  condition: ka.verb = a", rule("m")) == "ka.verb = a"


def test_after_an_error_the_rules_are_those_before_it() -> None:
    found = load(rule(), "- rule: r\n  enabled: maybe", rule().replace("rule: r", "rule: s"))
    assert [item.name for item in found.rules] == ["r"]
    assert len(found.errors) == 1


def doubling(count: int) -> str:
    macros = ["- macro: m0\n  condition: ka.verb = a and ka.verb = b"]
    macros += [f"- macro: m{at + 1}\n  condition: m{at} and m{at}" for at in range(count)]
    return "\n".join(macros) + rule(f"m{count}")


def nested(count: int) -> str:
    macros = ["- macro: m0\n  condition: ka.verb = a"]
    macros += [f"- macro: m{at + 1}\n  condition: not (not m{at} and ka.verb = b)" for at in range(count)]
    return "\n".join(macros) + rule(f"m{count}")


def multiplying(count: int) -> str:
    lists = "\n".join(f"- {{list: l{at}, items: [{', '.join([f'l{at + 1}'] * 50)}]}}" for at in range(count))
    return lists + rule("ka.verb in (l0)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(doubling(40), f"more than {CHECKS_MAX} comparisons", id="macros that double"),
        pytest.param(nested(300), "nested deeper than", id="macros that nest"),
        pytest.param(multiplying(8), "has more than", id="lists that multiply"),
        pytest.param("[" * 10_000, f"nested deeper than {DEPTH_MAX} levels", id="deep YAML"),
        pytest.param("- &a [*a]", "contains itself", id="an alias of itself"),
        pytest.param(
            "- &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "\n".join(f"- &{chr(98 + at)} [{', '.join([f'*{chr(97 + at)}'] * 10)}]" for at in range(8)),
            "expand to more than",
            id="aliases that multiply",
        ),
        pytest.param("#" * (TEXT_CHARS_MAX + 1), "larger than", id="a large file"),
        pytest.param("- rule: \ud800", "not readable as YAML", id="a lone surrogate"),
        pytest.param("- rule: \x00", "not", id="a NUL"),
        pytest.param(
            "- macro: m\n  condition: ka.verb = a\n- macro: m\n  condition: m and ka.verb = b\n" + rule("m"),
            "reference loop in macro",
            id="a macro of itself",
        ),
    ],
)
def test_growth_is_bounded(text: str, reason: str) -> None:
    assert reason in only_error(text)


def test_order_is_all_that_counts() -> None:
    texts: list[Any] = [rule(), rule().replace("rule: r", "rule: s")]
    assert load(*texts) == load(*texts)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            "".join(f"- {{list: l{at}, items: [x]}}\n" for at in range(20_000))
            + "".join(rule("ka.verb in (a)").replace("rule: r", f"rule: r{at}") for at in range(5_000)),
            "",
            id="lists by rules",
        ),
        pytest.param(
            "".join(f"- {{macro: m{at}, condition: ka.verb = a}}\n" for at in range(20_000)),
            "",
            id="macros by macros",
        ),
        pytest.param(
            doubling(13) + "".join(rule("m13").replace("rule: r", f"rule: r{at}") for at in range(100)),
            "with its macros the rules have more than",
            id="rules by macros",
        ),
        pytest.param(
            rule() + "- {rule: r, append: true, condition: or ka.verb = a}\n" * 5_000, "appended to more", id="appends"
        ),
        pytest.param(
            rule()
            + "".join(
                f"- {{rule: r, append: true, exceptions: [{{name: e{at}, fields: ka.verb, values: [a]}}]}}\n"
                for at in range(5_000)
            ),
            "more than 1000 exceptions",
            id="exceptions",
        ),
        pytest.param(rule().replace("output: o", f"output: '{'%a.b.' * 20_000}'"), "an output of more", id="output"),
        pytest.param(rule().replace("output: o", f"output: '%a{'.a' * 20_000}'"), "invalid format", id="field"),
    ],
)
def test_no_file_takes_more_than_its_size(text: str, reason: str) -> None:
    """The timeout of tests is what fails where work grows with the square of the file."""
    found = load(text)
    assert [reason in str(error) for error in found.errors] == ([True] if reason else [])
