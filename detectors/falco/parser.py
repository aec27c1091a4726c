"""Parse Falco conditions: recursive descent, two calls deep for each parenthesis.

The grammar and its quirks are those of falcosecurity/libs, userspace/libsinsp/filter/parser.h and parser.cpp: `and` and
`or` need a blank or a parenthesis behind them, `exists` needs nothing, word operators need a blank, and a parenthesis
that touches `or` ends that operand (`a or(b) and c` is an error).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from detectors.falco.lexer import BARE, BARE_ARG, BLANKS, FIELD, IDENTIFIER, NOT, NUMBER, ConditionError, Cursor
from detectors.falco.syntax import (
    MODIFIERS,
    And,
    Check,
    Expr,
    Field,
    Group,
    Literal,
    Macro,
    Not,
    Operand,
    Or,
    Transformer,
    Values,
)

NESTING_MAX: Final = 100
"""Parentheses in parentheses; Falco stops at some 180. Stock rules have five."""

NUMBER_OPS: Final = ("<=", "<", ">=", ">")
STRING_OPS: Final = ("==", "=", "!=")
WORD_OPS: Final = (
    "glob",
    "iglob",
    "contains",
    "icontains",
    "bcontains",
    "startswith",
    "bstartswith",
    "endswith",
    "regex",
)
LIST_OPS: Final = ("intersects", "in", "pmatch")
OPERATORS: Final = ("exists", *NUMBER_OPS, *STRING_OPS, *WORD_OPS, *LIST_OPS)
TRANSFORMERS: Final = ("tolower", "toupper", "b64", "basename", "len", "join", "concat", "getopt")
_KEYWORDS: Final = frozenset(("and", "or", "not"))


def parse(text: str) -> Expr:
    """Parse a condition.

    Raises:
        ConditionError: it is none, with the offset where reading stopped.
    """
    if not text:
        raise ConditionError("filter input string is empty", 0)
    parser = _Parser(text)
    expr = parser.expression()
    if parser.offset < len(text):
        raise parser.error(f"unexpected token after '{parser.token}', expecting 'or', 'and'")
    return expr


def parse_operand(text: str) -> tuple[Operand, int] | None:
    """Read the field or transformer that a text begins with, and return it with its length; None if it is neither.

    Raises:
        ConditionError: it begins like one and goes wrong.
    """
    parser = _Parser(text)
    operand = parser.operand()
    return None if operand is None else (operand, parser.offset)


class _Parser(Cursor):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def expression(self) -> Expr:
        """Read alternatives up to a closing parenthesis or the end."""
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self.error(f"exceeded max depth limit of {NESTING_MAX} nested parentheses")
        alternatives = [self._conjunction()]
        while self.word("or"):
            self._expect_gap("or")
            alternatives.append(self._embedded() if self.word("(") else self._conjunction())
            self.blank()
        self._depth -= 1
        return Or(tuple(alternatives)) if len(alternatives) > 1 else alternatives[0]

    def _conjunction(self) -> Expr:
        parts = [self._term()]
        self.blank()
        while self.word("and"):
            self._expect_gap("and")
            parts.append(self._term())
            self.blank()
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def _expect_gap(self, keyword: str) -> None:
        if self.text[self.offset : self.offset + 1] not in ("(", *BLANKS):
            raise self.error(f"expected blank or '(' after '{keyword}'")

    def _embedded(self) -> Expr:
        inner = self.expression()
        self._expect(")", "expected a ')' token")
        return inner

    def _expect(self, word: str, message: str) -> None:
        self.blank()
        if not self.word(word):
            raise self.error(message)

    def _term(self) -> Expr:
        self.blank()
        negated = False
        while self.match(NOT):
            negated = not negated
        if self.word("not("):
            negated = not negated
            part = self._embedded()
        else:
            self.blank()
            part = self._embedded() if self.word("(") else self._check()
        return Not(part) if negated else part

    def _check(self) -> Expr:
        offset = self.offset
        left = self.operand()
        if left is not None:
            return self._condition(left, offset)
        if self.match(IDENTIFIER):
            return Macro(self.token, offset)
        raise self.error("expected a '(' token, a field check, or an identifier")

    def operand(self) -> Field | Transformer | None:
        """Read a field or a transformer, if one begins here."""
        if self.match(FIELD):
            name = self.token
            return Field(name, self._argument())
        return self._transformer_call()

    def _transformer_call(self) -> Transformer | None:
        name = next((name for name in TRANSFORMERS if self.word(f"{name}(")), None)
        return None if name is None else self._transformer(name)

    def _argument(self) -> str | None:
        if not self.word("["):
            return None
        if not (self.quoted() or self.match(BARE_ARG)):
            raise self.error("expected a valid field argument: a quoted string or a bare string")
        argument = self.token
        if not self.word("]"):
            raise self.error("expected a ']' token")
        return argument

    def _transformer(self, name: str) -> Transformer:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self.error(f"exceeded max depth limit of {NESTING_MAX} nested transformers")
        args = self._arguments()
        self._expect(")", "expected a ')' token closing the transformer")
        self._depth -= 1
        return Transformer(name, args, self._argument())

    def _arguments(self) -> tuple[Operand, ...]:
        args = [self._transformer_argument()]
        self.blank()
        while self.word(","):
            args.append(self._transformer_argument())
            self.blank()
        return tuple(args)

    def _transformer_argument(self) -> Operand:
        self.blank()
        found = self.operand()
        if found is not None:
            return found
        if self.quoted() or self.match(NUMBER):
            return Literal(self.token)
        if not self.word("("):
            raise self.error("expected a field, a transformer, a quoted string, a number or a list")
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self.error(f"exceeded max depth limit of {NESTING_MAX} nested lists")
        self.blank()
        items = () if self.text.startswith(")", self.offset) else self._arguments()
        self._expect(")", "expected a ')' token closing the list")
        self._depth -= 1
        return Group(items)

    def _condition(self, left: Operand, offset: int) -> Check:
        self.blank()
        if self.word("exists"):
            return Check(left, "exists", offset=offset)
        made = partial(Check, left, offset=offset)
        op = next((op for op in (*NUMBER_OPS, *STRING_OPS) if self.word(op)), None)
        if op in NUMBER_OPS:
            return made(op, self._number())
        if op is None:
            op = next((op for op in WORD_OPS if self._word_op(op)), None)
        if op is not None:
            modifier = self._modifier()
            return made(op, self._list() if modifier else self._string(), modifier)
        op = next((op for op in LIST_OPS if self.word(op)), None)
        if op is not None:
            return made(op, self._list())
        known = ", ".join(f"'{known}'" for known in OPERATORS)
        raise self.error(f"expected a valid check operator: one of {known}")

    def _word_op(self, op: str) -> bool:
        follower = self.text[self.offset + len(op) : self.offset + len(op) + 1]
        return follower in BLANKS and self.word(op)

    def _modifier(self) -> str:
        """Take `oneof`, `anyof` or `allof`, where a blank stands on both sides and a list follows."""
        self.blank()
        start = self.offset
        word = self.peek(BARE)
        if word in MODIFIERS and self.after_blank():
            self.word(word)
            if self.blank() and (self.text.startswith("(", self.offset) or self._is_name()):
                return word
            self.offset = start
        return ""

    def _is_name(self) -> bool:
        return self.peek(IDENTIFIER) not in ("", *_KEYWORDS)

    def _number(self) -> Values | Operand:
        found = self._right_operand()
        if found is not None:
            return found
        if self.match(NUMBER):
            return Values((self.token,))
        raise self.error(f"expected a number value or a field with a valid transformer: {_RIGHT}")

    def _string(self) -> Values | Operand:
        found = self._right_operand()
        if found is not None:
            return found
        if self.quoted() or self.match(BARE):
            return Values((self.token,))
        raise self.error(f"expected a string value or a field with a valid transformer: {_RIGHT}")

    def _list(self) -> Values | Operand:
        self.blank()
        if self.word("("):
            return Values(self._items(), is_list=True)
        found = self._right_operand()
        if found is not None:
            return found
        if self.match(IDENTIFIER):
            return Values((self.token,))
        raise self.error(f"expected a list, an identifier, or a field with a valid transformer: {_RIGHT}")

    def _items(self) -> tuple[str, ...]:
        items: list[str] = []
        self.blank()
        if self.quoted() or self.match(BARE):
            items.append(self.token)
            self.blank()
            while self.word(","):
                self.blank()
                if not (self.quoted() or self.match(BARE)):
                    raise self.error("expected a string value")
                items.append(self.token)
                self.blank()
        self._expect(")", "expected a ')' token")
        return tuple(items)

    def _right_operand(self) -> Operand | None:
        """Read `val(field)` or another transformer."""
        self.blank()
        if self.word("val("):
            self.blank()
            if not self.match(FIELD):
                raise self.error("expected a field within 'val' transformer")
            inner = Field(self.token, self._argument())
            self._expect(")", "expected a ')' token closing the transformer")
            return Transformer("val", (inner,))
        return self._transformer_call()


_RIGHT: Final = ", ".join(f"'{name}'" for name in ("val", *TRANSFORMERS))
