"""What values from files must be: the rules that every configuration is checked by.

A rule is called with a name and a value and raises ``ValueError`` for what it does not allow;
``str(rule)`` says what that is. Rules are strict where Python is not: True is no number here,
NaN and infinity are within no limits, and text that reads as a number, which is what YAML makes of
1e-3, is text.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

# Damaged files hold values of any length; an error shall stay readable.
_LONGEST_SHOWN = 200
# Configurations are a few levels deep; what goes far beyond would end in Python's recursion limit.
_DEEPEST = 32


class Rule:
    """What a value must be."""

    def __call__(self, name: str, value: Any) -> None:
        """Check a value.

        :param name: what errors call it.
        :raises ValueError: for a value that is not allowed.
        """
        if not self._allows(value):
            _refuse(name, value, str(self))

    def _allows(self, value: Any) -> bool:
        raise NotImplementedError


@dataclass(frozen=True)
class Integer(Rule):
    """A whole number within limits, both included."""

    low: int
    high: int

    def _allows(self, value: Any) -> bool:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and self.low <= value <= self.high

    def __str__(self) -> str:
        return f'an integer from {self.low} to {self.high}'


@dataclass(frozen=True)
class Number(Rule):
    """A finite number within limits, whole or not."""

    low: float
    high: float
    #: What it stands for, such as its unit.
    what: str = 'a number'
    #: Whether the lower limit itself is left out.
    above: bool = False

    def __call__(self, name: str, value: Any) -> None:
        """Check a value; text that was meant as a number gets a remedy of its own."""
        if isinstance(value, str) and _reads_as_number(value):
            _refuse(name, value, str(self), 'write it without quotes, and 1e-3 as 1.0e-3')
        super().__call__(name, value)

    def _allows(self, value: Any) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        # Compared as it is: NaN is within no limits, and a huge integer need not become a float.
        return self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        start = f'above {self.low:.10g}, up to' if self.above else f'from {self.low:.10g} to'
        return f'{self.what} {start} {self.high:.10g}'


@dataclass(frozen=True)
class Flag(Rule):
    """True or false, and no number in place of them."""

    def _allows(self, value: Any) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return 'true or false'


@dataclass(frozen=True)
class Text(Rule):
    """Text of at least one character."""

    def _allows(self, value: Any) -> bool:
        return isinstance(value, str) and bool(value)

    def __str__(self) -> str:
        return 'text'


@dataclass(frozen=True)
class Choice(Rule):
    """One of some words."""

    choices: tuple[str, ...]

    def _allows(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.choices

    def __str__(self) -> str:
        return f'one of {", ".join(self.choices)}'


@dataclass(frozen=True)
class OrNone(Rule):
    """What another rule allows, or nothing at all."""

    rule: Rule

    def __call__(self, name: str, value: Any) -> None:
        """Check a value that is not None."""
        if value is not None:
            self.rule(name, value)

    def __str__(self) -> str:
        return f'{self.rule}, or nothing'


@dataclass(frozen=True)
class Several(Rule):
    """A list or tuple whose items all obey one rule."""

    rule: Rule
    fewest: int
    #: None: exactly ``fewest``.
    most: int | None = None
    #: Whether a single item may also stand without a list around it.
    alone: bool = False

    def __call__(self, name: str, value: Any) -> None:
        """Check length and items; errors number the items from 0."""
        if self.alone and not isinstance(value, (list, tuple)):
            self.rule(name, value)
            return
        super().__call__(name, value)
        for number, item in enumerate(value):
            self.rule(f'{name}[{number}]', item)

    def _allows(self, value: Any) -> bool:
        most = self.fewest if self.most is None else self.most
        return isinstance(value, (list, tuple)) and self.fewest <= len(value) <= most

    def __str__(self) -> str:
        count = f'{self.fewest}' if self.most is None else f'{self.fewest} to {self.most}'
        return f'a list of {count}, each {self.rule}'


@dataclass(frozen=True)
class ByName(Rule):
    """A section: values by name, each with a rule of its own."""

    rules: Mapping[str, Rule]
    #: Names that must be there.
    required: Collection[str] = ()
    #: What values of other names must be; None: there must be no others.
    others: Rule | None = None

    def __call__(self, name: str, value: Any) -> None:
        """Check names and values."""
        super().__call__(name, value)
        known = value if self.others is not None else self.rules
        check_names(value, known, required=self.required, where=name)
        for key, item in value.items():
            rule = self.rules.get(key, self.others)
            assert rule is not None  # check_names has seen to it
            rule(f'{name}.{key}', item)

    def _allows(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)

    def __str__(self) -> str:
        return 'a section of names and values'


@dataclass(frozen=True)
class PlainData(Rule):
    """Anything that JSON can hold; its numbers are finite."""

    #: How many levels of lists and sections there may still be.
    levels: int = _DEEPEST

    def __call__(self, name: str, value: Any) -> None:
        """Check a value and all that it holds."""
        super().__call__(name, value)
        if not isinstance(value, (Mapping, list, tuple)):
            return
        if self.levels == 0:
            _refuse(name, value, f'at most {_DEEPEST} levels of lists and sections')
        inner = PlainData(self.levels - 1)
        if isinstance(value, Mapping):
            ByName({}, others=inner)(name, value)
        else:
            Several(inner, 0, len(value))(name, value)

    def _allows(self, value: Any) -> bool:
        if isinstance(value, float):
            return math.isfinite(value)
        return value is None or isinstance(value, (bool, int, str, Mapping, list, tuple))

    def __str__(self) -> str:
        return 'finite numbers, text, and lists and sections of them'


def check(values: Mapping[str, Any], rules: Mapping[str, Rule], *, prefix: str = '') -> None:
    """Check those of the values that have rules.

    :param prefix: what stands before each name in errors, such as ``data.``.
    :raises ValueError: for the first value that its rule does not allow.
    """
    for name, rule in rules.items():
        if name in values:
            rule(f'{prefix}{name}', values[name])


def check_names(
    got: Collection[Any], known: Collection[str], *, required: Collection[str] = (), where: str
) -> None:
    """Check that all names are known, and all that are needed are there.

    :param where: what the names belong to, for errors.
    :raises ValueError: naming one that is not, with a known name that is close.
    """
    for name in got:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            remedy = f'did you mean {near[0]}?' if near else 'leave it out'
            raise ValueError(
                f'got {_shown(name)} in {where}, expected only {", ".join(known)}; {remedy}'
            )
    missing = [name for name in required if name not in got]
    if missing:
        raise ValueError(
            f'got {where} without {", ".join(missing)}, expected {", ".join(required)}; add what '
            'is missing'
        )


def _refuse(name: str, value: Any, expected: str, remedy: str = 'correct it') -> NoReturn:
    raise ValueError(f'got {name}={_shown(value)}, expected {expected}; {remedy}')


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, an integer of too many digits
        return f'a {type(value).__name__} too large to show'
    return shown if len(shown) <= _LONGEST_SHOWN else f'{shown[:_LONGEST_SHOWN]}...'


def _reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
