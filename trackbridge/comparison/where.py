"""
The filter language of run tables: `eval/mcc > 0.5 and lr <= 2e-5 and not status = failed`.

    filter      any ("or" any)*                      any: one (["and"] one)*
    one         "not" one | "(" filter ")" | field operator value | word
    operator    = != < <= > >= ~ !~                  ~: contains, or matches a pattern with * and ?

A word alone is looked for in name, group, project and tags. A run without the field passes `!=` and `!~` only, and
`field = null`. Numbers may have a unit of time (`took > 10min`); `started` is compared with a date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

from trackbridge.comparison.fields import Field, Fields
from trackbridge.errors import MisuseError
from trackbridge.store.records import RunRecord

Test: TypeAlias = Callable[[RunRecord], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*"|'[^']*')|(?P<operator>!=|!~|<=|>=|==|=|<|>|~)|(?P<bracket>[()])
    |(?P<word>(?:best|last)\([^()]*\)|[^\s()"'=<>!~]+)|(?P<wrong>\S))""",
    re.VERBOSE,
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|min|h|d)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_filter(text: str, fields: Fields) -> Test:
    """A test of runs; an empty text lets all of them pass.

    Raises:
        MisuseError: the text is no filter; says where and what was expected.
        NotFoundError: it names a field that no run has; names the nearest.
    """
    tokens = [_Token(str(found.lastgroup), found[found.lastgroup or 0], found.end()) for found in _TOKEN.finditer(text)]
    if not tokens:
        return lambda run: True
    reader = _Reader(tokens, fields)
    test = reader.any_of()
    if reader.next:
        raise MisuseError(
            f"the filter goes on with {reader.next.text!r} where it should end (character {reader.place})"
        )
    return test


class _Reader:
    """Reads tokens from left to right, one grammar rule a method."""

    def __init__(self, tokens: Sequence[_Token], fields: Fields) -> None:
        self._tokens = list(tokens)
        self._fields = fields

    @property
    def next(self) -> _Token | None:
        return self._tokens[0] if self._tokens else None

    @property
    def place(self) -> int:
        return self._tokens[0].at - len(self._tokens[0].text) + 1

    def any_of(self) -> Test:
        tests = [self._all_of()]
        while self._takes("or"):
            tests.append(self._all_of())
        return tests[0] if len(tests) == 1 else lambda run: any(test(run) for test in tests)

    def _all_of(self) -> Test:
        tests = [self._one()]
        while self.next and self.next.text not in ("or", ")"):
            self._takes("and")
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda run: all(test(run) for test in tests)

    def _one(self) -> Test:
        if self._takes("not"):
            test = self._one()
            return lambda run: not test(run)
        if self._takes("("):
            inner = self.any_of()
            if not self._takes(")"):
                raise MisuseError("the filter has a '(' that is not closed")
            return inner
        token = self._operand("a field, a word or '('")
        if self.next is None or self.next.kind != "operator":
            return _mentions(_unquoted(token))
        operator = self._tokens.pop(0).text
        value = self._operand(f"a value after {operator!r}")
        return _comparison(self._fields.named(_unquoted(token)), operator, value)

    def _takes(self, text: str) -> bool:
        found = self.next is not None and self.next.kind in ("word", "bracket") and self.next.text == text
        if found:
            self._tokens.pop(0)
        return found

    def _operand(self, expected: str) -> _Token:
        if self.next is None:
            raise MisuseError(f"the filter ends where {expected} was expected")
        if self.next.kind not in ("word", "text"):
            raise MisuseError(f"the filter has {self.next.text!r} at character {self.place}; expected {expected}")
        return self._tokens.pop(0)


def _unquoted(token: _Token) -> str:
    return token.text[1:-1] if token.kind == "text" else token.text


def _mentions(word: str) -> Test:
    return lambda run: any(_is_like(text, word) for text in (run.name, run.group or "", run.project, *run.tags))


def _comparison(field: Field, operator: str, token: _Token) -> Test:
    wanted = _unquoted(token)
    if operator in ("~", "!~"):
        return lambda run: _any(field.read(run), lambda one: _is_like(_as_text(one), wanted)) == (operator == "~")
    if operator in ("=", "==", "!="):
        is_null = token.kind == "word" and wanted == "null"
        same = (lambda one: one is None) if is_null else lambda one: _is_equal(one, wanted)
        return lambda run: _any(field.read(run), same) == (operator != "!=")
    limit = _as_number(wanted)
    if limit is None:
        raise MisuseError(
            f"{field.key} {operator} {wanted!r}: expected a number, such as 0.5, 2e-5, 10min or 2026-11-01"
        )
    return lambda run: _any(field.read(run), lambda one: _is_ordered(one, operator, limit))


def _any(value: Any, test: Callable[[Any], bool]) -> bool:
    """Of a list of tags, one is enough."""
    return any(test(one) for one in value) if isinstance(value, list) else test(value)


def _is_ordered(value: Any, operator: str, limit: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[operator]


def _is_equal(value: Any, wanted: str) -> bool:
    number = _as_number(wanted)
    if number is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
        return value == number
    return value is not None and _as_text(value) == wanted


def _is_like(text: str, wanted: str) -> bool:
    text, wanted = text.casefold(), wanted.casefold()
    return fnmatchcase(text, wanted) if "*" in wanted or "?" in wanted else wanted in text


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _as_number(text: str) -> float | None:
    duration = _DURATION.fullmatch(text)
    if duration:
        return float(duration[1]) * _SECONDS[duration[2]]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
