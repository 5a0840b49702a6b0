"""Locked-image tuning: a text tower learns what a frozen image tower already sees.

Zhai et al., "LiT: Zero-Shot Transfer with Locked-image text Tuning" (CVPR 2022). The texts are the
captions of rendered pictures, against the pictures' own embeddings, and the names and definitions
of ImageNet's classes, against the classes' prototypes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import open_clip
import torch
from open_clip.loss import ClipLoss
from rich.progress import track
from timm.data import ImageNetInfo
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from research.builtin.vocabulary import Vocabulary

# OpenAI's CLIP clips its learned temperature here (Radford et al., 2021).
_MAX_LOGIT_SCALE = math.log(100.0)
_CLASSES_AT_ONCE = 128
_TEMPLATES = ('{}', 'a photo of a {}', 'a {} in a room', 'a picture of the {}')
#: Every so many classes one is left out of the training, to see what a definition alone tells.
HELD_OUT_EVERY = 10


@dataclass(frozen=True)
class ClassTexts:
    """What is said of ImageNet's classes, each in the order of the classifier."""

    #: All names of each.
    names: list[list[str]]
    definitions: list[str]

    @classmethod
    def of_imagenet(cls) -> ClassTexts:
        """Take timm's copy of WordNet's words."""
        info = ImageNetInfo()
        described = [info.index_to_description(i, detailed=True) for i in range(1000)]
        parts = [text.partition(': ') for text in described]
        return cls([part[0].split(', ') for part in parts], [part[2] for part in parts])

    def all_texts(self) -> list[str]:
        """Return names and definitions, for the vocabulary."""
        return [text for names in self.names for text in names] + self.definitions


def tune_text(
    clip: open_clip.CLIP,
    vocabulary: Vocabulary,
    classes: ClassTexts,
    prototypes: Tensor,
    captions: Sequence[str],
    embeddings: Tensor,
    *,
    steps: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
) -> None:
    """Train the text tower in place.

    :param prototypes: unit image-side embeddings of the classes, ``[1000, D]``.
    :param captions: one for each picture.
    :param embeddings: unit embeddings of the pictures, ``[N, D]``.
    """
    generator = torch.Generator().manual_seed(seed)
    trained = [p for name, p in clip.named_parameters() if not name.startswith('visual.')]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    tokens = vocabulary.tokenize(captions, clip.context_length)
    usable = torch.tensor([i for i in range(len(classes.names)) if i % HELD_OUT_EVERY])
    loss_of = ClipLoss()
    clip.train()
    for _ in track(range(steps), 'tuning the text tower'):
        picked = torch.randint(len(captions), (batch_size,), generator=generator)
        chosen = usable[torch.randperm(len(usable), generator=generator)[:_CLASSES_AT_ONCE]]
        said = vocabulary.tokenize(_say(classes, chosen, generator), clip.context_length)
        # On a CPU the fused attention's backward pass is slower than the plain products'.
        with sdpa_kernel(SDPBackend.MATH):
            texts = clip.encode_text(torch.cat([tokens[picked], said]), normalize=True)
        of_pictures, of_classes = texts.split([batch_size, len(chosen)])
        scale = clip.logit_scale.exp()
        loss = loss_of(embeddings[picked], of_pictures, scale)
        # Against all that is trained on, not only the classes of this batch.
        logits = scale * of_classes @ prototypes[usable].T
        loss = loss + nn.functional.cross_entropy(logits, torch.searchsorted(usable, chosen))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        clip.logit_scale.data.clamp_(0.0, _MAX_LOGIT_SCALE)
    clip.eval()


def _say(classes: ClassTexts, chosen: Tensor, generator: torch.Generator) -> list[str]:
    """Return a text for each class: a name in a sentence, or the definition."""
    texts = []
    for i in chosen.tolist():
        a, b, c = torch.rand(3, generator=generator).tolist()
        names = classes.names[i]
        name = names[int(a * len(names))]
        if b < 0.3:
            texts.append(classes.definitions[i])
        elif b < 0.5:
            texts.append(f'{name} {classes.definitions[i]}')
        else:
            texts.append(_TEMPLATES[int(c * len(_TEMPLATES))].format(name))
    return texts


@torch.inference_mode()
def text_report(
    clip: open_clip.CLIP,
    vocabulary: Vocabulary,
    classes: ClassTexts,
    prototypes: Tensor,
    captions: Sequence[str],
    embeddings: Tensor,
) -> dict[str, float]:
    """Return how well texts find what they name.

    ``top1_trained`` and ``top1_held_out``: names among all 1,000 prototypes;
    ``top1_held_out_defined``: name and definition of a class that no training named;
    ``recall_at_1``: captions among those of the first 256 pictures given.
    """
    held_out = torch.arange(len(classes.names)) % HELD_OUT_EVERY == 0
    named = _encode(clip, vocabulary, [f'a photo of a {names[0]}' for names in classes.names])
    hits = (named @ prototypes.T).argmax(dim=1) == torch.arange(len(named))
    described = [f'{names[0]} {text}' for names, text in zip(classes.names, classes.definitions)]
    defined = _encode(clip, vocabulary, described)
    found = (defined @ prototypes.T).argmax(dim=1) == torch.arange(len(named))
    texts = _encode(clip, vocabulary, list(captions[:256]))
    nearest = (embeddings[:256] @ texts.T).argmax(dim=1)
    return {
        'top1_trained': float(hits[~held_out].float().mean()),
        'top1_held_out': float(hits[held_out].float().mean()),
        'top1_held_out_defined': float(found[held_out].float().mean()),
        'recall_at_1': float((nearest == torch.arange(len(nearest))).float().mean()),
    }


def _encode(clip: open_clip.CLIP, vocabulary: Vocabulary, texts: list[str]) -> Tensor:
    tokens = vocabulary.tokenize(texts, clip.context_length)
    return torch.cat([clip.encode_text(part, normalize=True) for part in tokens.split(250)])
