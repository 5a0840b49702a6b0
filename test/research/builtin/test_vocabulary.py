"""Words and their numbers."""

from __future__ import annotations

from research.builtin.vocabulary import Vocabulary, words_of


def test_words_and_distances() -> None:
    assert words_of('A desk, 1.5 m away!') == ['a', 'desk', '1.5', 'm', 'away']
    assert words_of('from 2m') == ['from', '2m']


def test_ids_are_those_that_clip_pools_by() -> None:
    vocabulary = Vocabulary.of_texts(['a desk and a lamp', 'a desk'], least=2)
    assert vocabulary.words == ['a', 'desk']  # the most frequent first
    assert len(vocabulary) == 6  # padding, two words, unknown, start and end
    tokens = vocabulary.tokenize(['a desk', 'a blue desk and a lamp'], 5)
    # start 4, end 5, unknown 3; the second sentence loses its last words, never its end.
    assert tokens.tolist() == [[4, 1, 2, 5, 0], [4, 1, 3, 2, 5]]
    assert tokens.argmax(dim=1).tolist() == [3, 4]
