"""The rules for values from files: what passes, what is refused, and in which words."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror_depth_ros.validation import (
    ByName,
    Choice,
    Flag,
    Integer,
    Number,
    OrNone,
    PlainData,
    Rule,
    Several,
    Text,
    check,
    check_names,
)

ROOT = Path(__file__).parents[1]
NAN, INF = math.nan, math.inf
COUNT, SHARE = Integer(1, 9), Number(0, 1, 'a share')


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ('rule', 'value', 'message'),
    [
        (COUNT, True, 'got x=True, expected an integer from 1 to 9; correct it'),
        (COUNT, 2.0, 'got x=2.0, expected an integer from 1 to 9; correct it'),
        (COUNT, '2', "got x='2', expected an integer from 1 to 9; correct it"),
        (COUNT, NAN, 'got x=nan, expected an integer from 1 to 9; correct it'),
        (COUNT, 0, 'got x=0, expected an integer from 1 to 9; correct it'),
        (COUNT, 10, 'got x=10, expected an integer from 1 to 9; correct it'),
        (COUNT, None, 'got x=None, expected an integer from 1 to 9; correct it'),
        (SHARE, False, 'got x=False, expected a share from 0 to 1; correct it'),
        (SHARE, NAN, 'got x=nan, expected a share from 0 to 1; correct it'),
        (SHARE, INF, 'got x=inf, expected a share from 0 to 1; correct it'),
        (SHARE, -INF, 'got x=-inf, expected a share from 0 to 1; correct it'),
        (SHARE, 1.5, 'got x=1.5, expected a share from 0 to 1; correct it'),
        (SHARE, 'nan', "got x='nan', expected a share from 0 to 1; correct it"),
        # What YAML makes of 1e-3, without a dot.
        (
            SHARE,
            '1e-3',
            "got x='1e-3', expected a share from 0 to 1; write it without quotes, and 1e-3 as "
            '1.0e-3',
        ),
        (Number(0, 2, above=True), 0, 'got x=0, expected a number above 0, up to 2; correct it'),
        (Flag(), 1, 'got x=1, expected true or false; correct it'),
        (Text(), '', "got x='', expected text; correct it"),
        (Text(), 3, 'got x=3, expected text; correct it'),
        (Choice(('a', 'b')), 'c', "got x='c', expected one of a, b; correct it"),
        (Choice(('a', 'b')), ['a'], "got x=['a'], expected one of a, b; correct it"),
        (
            Several(COUNT, 2),
            [1],
            'got x=[1], expected a list of 2, each an integer from 1 to 9; correct it',
        ),
        (
            Several(COUNT, 1, 3),
            {1: 2},
            'got x={1: 2}, expected a list of 1 to 3, each an integer from 1 to 9; correct it',
        ),
        (Several(COUNT, 2), 'ab', 'got x=.ab., expected a list of 2, .*'),
        (
            Several(COUNT, 1, 3),
            (1, True),
            r'got x\[1\]=True, expected an integer from 1 to 9; correct it',
        ),
        (
            Several(COUNT, 1, 3, alone=True),
            True,
            'got x=True, expected an integer from 1 to 9; .*',
        ),
        (OrNone(COUNT), 0, 'got x=0, expected an integer from 1 to 9; correct it'),
        (ByName({'a': COUNT}), [], 'got x=[], expected a section of names and values; correct it'),
        (ByName({'a': COUNT}), {1: 2}, 'got x={1: 2}, expected a section of names and values; .*'),
        (ByName({'a': COUNT}), {'a': 0}, 'got x.a=0, expected an integer from 1 to 9; correct it'),
        (
            ByName({'colour': COUNT}),
            {'color': 3},
            "got 'color' in x, expected only colour; did you mean colour?",
        ),
        (
            ByName({'colour': COUNT}),
            {'zz': 3},
            "got 'zz' in x, expected only colour; leave it out",
        ),
        (
            ByName({'a': COUNT, 'b': COUNT}, required=('a', 'b')),
            {'a': 1},
            'got x without b, expected a, b; add what is missing',
        ),
        (
            ByName({}, others=SHARE),
            {'any': 2},
            'got x.any=2, expected a share from 0 to 1; correct it',
        ),
        (
            PlainData(),
            {'a': [1, {'b': NAN}]},
            r'got x.a[1].b=nan, expected finite numbers, text, and lists and sections of them; '
            'correct it',
        ),
        (PlainData(), {3: 1}, 'got x={3: 1}, expected a section of names and values; correct it'),
        (PlainData(), {1, 2}, 'got x={1, 2}, expected finite numbers, .*'),
        (PlainData(), nested(33), 'got .*, expected at most 32 levels of lists and sections; .*'),
        (SHARE, 10**400, 'got x=1000*[.]{3}, expected a share from 0 to 1; correct it'),
    ],
)
def test_what_a_rule_refuses(rule: Rule, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        rule('x', value)
    said = str(refused.value)
    assert said == message or re.fullmatch(message, said)


def test_what_cannot_be_shown_is_refused_all_the_same() -> None:
    # Python's own limits: levels of recursion, digits of an integer as text.
    with pytest.raises(ValueError, match=r'^got x=a list too large to show, expected text;'):
        Text()('x', nested(100_000))
    with pytest.raises(ValueError, match=r'^got x=an? int too large to show, expected an int'):
        COUNT('x', 10**5000)


@pytest.mark.parametrize(
    ('rule', 'values'),
    [
        (COUNT, (1, 9)),
        (SHARE, (0, 1, 0.0, 0.3, 1.0)),
        (Number(0, 2, above=True), (5e-324, 2)),
        (Flag(), (True, False)),
        (Text(), ('a', 'none')),
        (Choice(('a', 'b')), ('a', 'b')),
        (Several(COUNT, 2), ([1, 2], (9, 9))),
        (Several(COUNT, 1, 3, alone=True), (4, [4], (1, 2, 3))),
        (OrNone(COUNT), (None, 4)),
        (ByName({'a': COUNT, 'b': SHARE}, required=('a',)), ({'a': 1}, {'a': 1, 'b': 0.5})),
        (ByName({'a': COUNT}, others=SHARE), ({}, {'a': 9, 'z': 0.5})),
        (PlainData(), (None, True, -3, 0.5, 'x', {'a': [1, (2.0, {})]}, nested(32))),
    ],
)
def test_what_a_rule_allows(rule: Rule, values: tuple[Any, ...]) -> None:
    for value in values:
        rule('x', value)


def test_values_without_a_rule_and_rules_without_a_value_are_passed_over() -> None:
    check({'a': 3, 'other': NAN}, {'a': COUNT, 'b': COUNT})
    with pytest.raises(ValueError, match=r'^got data.a=0, expected an integer from 1 to 9'):
        check({'a': 0}, {'a': COUNT}, prefix='data.')


def test_names_that_are_none_are_named() -> None:
    check_names(['a'], ['a', 'b'], where='here')
    with pytest.raises(ValueError, match=r'^got 3 in here, expected only a, b; leave it out$'):
        check_names([3], ['a', 'b'], where='here')


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def is_sound(value: Any) -> bool:
    """Say whether numbers are finite, whatever holds them."""
    if isinstance(value, (list, tuple)):
        return all(map(is_sound, value))
    if isinstance(value, dict):
        return is_sound(list(value.values()))
    return not isinstance(value, float) or math.isfinite(value)


@given(value=WILD)
@example(value={'a': [NAN]})
@example(value=-INF)
def test_plain_data_is_what_json_gives_back(value: Any) -> None:
    try:
        PlainData()('x', value)
    except ValueError:
        assert not is_sound(value)
    else:
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def configurations() -> list[type]:
    pytest.importorskip('torch', reason='needs PyTorch')
    pytest.importorskip('torchvision', reason='needs torchvision: pip install .[train]')
    from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
    from mirror_depth_ros.training.augmentation import Augmentation

    return [MirrorDepthConfig, Augmentation]


def test_every_field_has_a_rule_that_its_default_obeys() -> None:
    for configuration in configurations():
        assert {f.name for f in fields(configuration)} == set(configuration.RULES)
        check(vars(configuration()), configuration.RULES)


@given(data=st.data(), value=WILD)
def test_wild_fields_are_refused_or_sound(data: st.DataObject, value: Any) -> None:
    for configuration in configurations():
        name = data.draw(st.sampled_from([f.name for f in fields(configuration)]))
        value = tuple(value) if isinstance(value, list) else value
        try:
            made = getattr(configuration(**{name: value}), name)
        except ValueError as error:
            said = str(error)
            assert re.match(r'got \w+.*, expected ', said, re.DOTALL)
            continue
        assert is_sound(made)
        default = getattr(configuration(), name)
        if isinstance(default, bool) or isinstance(made, bool):
            assert isinstance(default, bool)
            assert isinstance(made, bool)
        if isinstance(made, (tuple, list)):
            assert not any(isinstance(item, (bool, str)) for item in made)
