"""Generated conditions of the Falco language, and events for them."""

from hypothesis import strategies as st

from detectors.falco.parser import WORD_OPS
from detectors.falco.syntax import And, Check, Expr, Field, Group, Literal, Macro, Not, Operand, Or, Transformer, Values

HOSTILE = (
    "",
    " ",
    "a b",
    "'",
    '"',
    "\\",
    "a\\",
    '\\"',
    "(",
    ")",
    ",",
    "=",
    "and",
    "or",
    "not",
    "in",
    "oneof",
    "val(x.y)",
)
TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=8)
WORDS = st.sampled_from(("pods", "exec", "create", "kube-system", "10", "/etc/shadow", "*", "[a]", "<NA>", "x.y"))

SCALARS = (
    "ka.verb",
    "ka.target.resource",
    "ka.target.subresource",
    "ka.user.name",
    "ka.response.code",
    "ka.auth.decision",
    "ka.req.container.privileged",
)
LISTS = ("ka.user.groups", "ka.req.pod.containers.image", "ka.req.role.rules.verbs")
POINTERS = (
    "/verb",
    "/user/username",
    "/objectRef/resource",
    "/annotations/authorization.k8s.io~1decision",
    "/requestObject/spec",
    "/nothing",
)
REGEXES = (".*", "^p.*s$", "[[:alpha:]]+", "(a|b)*c?", "a+?", "e.*\nx", "exec|create", "^x$", "[^a]*")

NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: name not in ("and", "or", "not", "exists")
)
ANY_FIELDS = st.builds(
    Field,
    st.lists(NAMES, min_size=2, max_size=3).map(".".join),
    st.none() | TEXTS,
)
OPERANDS: st.SearchStrategy[Operand] = st.recursive(
    ANY_FIELDS,
    lambda inner: st.one_of(
        st.builds(lambda part: Transformer("tolower", (part,)), inner),
        st.builds(lambda part: Transformer("len", (part,)), inner),
        st.builds(
            lambda text, parts: Transformer("join", (Literal(text), Group(tuple(parts)))), TEXTS, st.lists(inner)
        ),
        st.builds(lambda parts: Transformer("concat", tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda part, arg: Transformer("getopt", (part, Literal("a:b")), arg), inner, st.none() | TEXTS),
    ),
    max_leaves=4,
)
_SCALAR_OPS = ("=", "==", "!=", *WORD_OPS)
_RIGHT = OPERANDS.filter(lambda operand: isinstance(operand, Transformer)) | st.builds(
    lambda field: Transformer("val", (field,)), ANY_FIELDS
)
_ITEMS = st.lists(TEXTS, max_size=3).map(lambda items: Values(tuple(items), is_list=True))
ANY_CHECKS = st.one_of(
    st.builds(lambda left: Check(left, "exists"), OPERANDS),
    st.builds(lambda left, op, text: Check(left, op, Values((text,))), OPERANDS, st.sampled_from(_SCALAR_OPS), TEXTS),
    st.builds(Check, OPERANDS, st.sampled_from((*_SCALAR_OPS, "<", ">=", "in", "intersects")), _RIGHT),
    st.builds(
        lambda left, op, number: Check(left, op, Values((str(number),))),
        OPERANDS,
        st.sampled_from(("<", "<=", ">", ">=")),
        st.integers(),
    ),
    st.builds(Check, OPERANDS, st.sampled_from(("in", "intersects", "pmatch")), _ITEMS),
    st.builds(
        Check,
        OPERANDS,
        st.sampled_from(_SCALAR_OPS),
        _ITEMS,
        st.sampled_from(("oneof", "anyof", "allof")),
    ),
)


def conditions(leaves: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    """Combine leaves; a `not` of `not` is written with parentheses and read back as nothing, so there is none."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Not, inner),
        ),
        max_leaves=10,
    )


ANY_CONDITIONS = conditions(ANY_CHECKS | NAMES.filter(lambda name: name != "val").map(Macro))

AUDIT_CHECKS = st.one_of(
    st.builds(
        lambda name, op, word: Check(Field(name), op, Values((word,))),
        st.sampled_from(SCALARS),
        st.sampled_from(("=", "!=", "contains", "icontains", "startswith", "endswith", "glob", "iglob")),
        WORDS,
    ),
    st.builds(
        lambda name, pattern: Check(Field(name), "regex", Values((pattern,))),
        st.sampled_from(SCALARS),
        st.sampled_from(REGEXES),
    ),
    st.builds(
        lambda name, op, number: Check(Field(name), op, Values((str(number),))),
        st.sampled_from(SCALARS),
        st.sampled_from(("<", ">=")),
        st.integers(0, 600),
    ),
    st.builds(
        lambda name, paths: Check(Field(name), "pmatch", Values(tuple(paths), is_list=True)),
        st.sampled_from(SCALARS),
        st.lists(WORDS, max_size=3),
    ),
    st.sampled_from(
        (
            Check(Field("jevt.rawtime"), "exists"),
            Check(Field("jevt.rawtime"), "=", Values(("0",))),
            Check(Field("ka.verb"), "=", Transformer("val", (Field("ka.user.name"),))),
        )
    ),
    st.builds(
        lambda name, op, words: Check(Field(name), op, Values(tuple(words), is_list=True)),
        st.sampled_from((*SCALARS, *LISTS)),
        st.sampled_from(("in", "intersects")),
        st.lists(WORDS, max_size=3),
    ),
    st.builds(
        lambda name, op, words, modifier: Check(Field(name), op, Values(tuple(words), is_list=True), modifier),
        st.sampled_from(SCALARS),
        st.sampled_from(("=", "!=", "contains", "startswith")),
        st.lists(WORDS, max_size=3),
        st.sampled_from(("oneof", "anyof", "allof")),
    ),
    st.builds(lambda name: Check(Field(name), "exists"), st.sampled_from((*SCALARS, *LISTS))),
    st.builds(
        lambda pointer, word: Check(Field("jevt.value", pointer), "=", Values((word,))),
        st.sampled_from(POINTERS),
        WORDS,
    ),
    st.builds(
        lambda name, word: Check(Transformer("toupper", (Field(name),)), "=", Values((word.upper(),))),
        st.sampled_from(SCALARS),
        WORDS,
    ),
)
AUDIT_CONDITIONS = conditions(AUDIT_CHECKS)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)


_SCALAR = st.none() | st.booleans() | st.integers(0, 600) | WORDS | TEXTS
"""What the types of the Kubernetes API leave possible where a text or a number belongs."""


def _maybe(value: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return value | _JSON


AUDIT_EVENTS = st.fixed_dictionaries(
    {"auditID": st.just("1")},
    optional={
        "verb": _maybe(WORDS),
        "user": _maybe(
            st.fixed_dictionaries({}, optional={"username": _maybe(WORDS), "groups": _maybe(st.lists(WORDS))})
        ),
        "objectRef": _maybe(st.fixed_dictionaries({}, optional={"resource": _maybe(WORDS)})),
        "responseStatus": _maybe(st.fixed_dictionaries({}, optional={"code": _maybe(st.integers(0, 600))})),
        "requestObject": _maybe(
            st.fixed_dictionaries(
                {},
                optional={
                    "spec": _maybe(
                        st.fixed_dictionaries(
                            {},
                            optional={
                                "containers": _maybe(
                                    st.lists(_maybe(st.fixed_dictionaries({}, optional={"image": _maybe(WORDS)})))
                                )
                            },
                        )
                    ),
                    "rules": _maybe(
                        st.lists(_maybe(st.fixed_dictionaries({}, optional={"verbs": _maybe(st.lists(WORDS))})))
                    ),
                },
            )
        ),
    },
)


def _object(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | st.fixed_dictionaries({}, optional=fields)


TYPED_EVENTS = st.fixed_dictionaries(
    {"auditID": st.just("1")},
    optional={
        "verb": _SCALAR,
        "user": _object(username=_SCALAR, groups=st.none() | st.lists(WORDS | TEXTS)),
        "objectRef": _object(resource=_SCALAR, subresource=_SCALAR),
        "responseStatus": _object(code=_SCALAR),
        "annotations": st.none()
        | st.fixed_dictionaries({}, optional={"authorization.k8s.io/decision": WORDS | TEXTS, "authorization": TEXTS}),
        "requestObject": _JSON,
    },
)
"""Audit events as an API server writes them, hostile in all that a client chooses."""
