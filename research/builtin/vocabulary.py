"""Words and token ids of the built-in CLIP's text tower."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_WORD = re.compile(r'[a-z]+|[0-9.]*[0-9]m?')


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case; numbers are words, with their unit."""
    return _WORD.findall(text.lower())


class Vocabulary:
    """The words a text tower knows. Ids: 0 pads, then the words, then unknown, start and end.

    CLIP pools at the highest id, which is the end.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Number the words in their order."""
        self.words = list(words)
        self._ids = {word: i for i, word in enumerate(self.words, 1)}
        self._unknown = len(self.words) + 1

    @classmethod
    def of_texts(cls, texts: Iterable[str], *, least: int = 2) -> Vocabulary:
        """Take the words that occur at least so often, most frequent first."""
        counts = Counter(word for text in texts for word in words_of(text))
        frequent = [(-n, word) for word, n in counts.items() if n >= least]
        return cls([word for _, word in sorted(frequent)])

    def __len__(self) -> int:
        return len(self.words) + 4

    def tokenize(self, texts: Sequence[str], context_length: int) -> Tensor:
        """Return token ids ``[N, context_length]``; what is longer loses its last words."""
        start, end = self._unknown + 1, self._unknown + 2
        tokens = torch.zeros(len(texts), context_length, dtype=torch.long)
        for row, text in zip(tokens, texts):
            ids = [self._ids.get(word, self._unknown) for word in words_of(text)]
            ids = [start, *ids[: context_length - 2], end]
            row[: len(ids)] = torch.tensor(ids)
        return tokens
