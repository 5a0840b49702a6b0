"""Contrastive pre-training of the package's own small CLIP on captioned scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import lightning
import open_clip
import torch
from open_clip import CLIP
from open_clip.loss import ClipLoss
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import Dataset, Sampler
from torchvision.transforms.v2 import Normalize

from mirror_depth_ros.data.rendered_scenes import RenderedScenes
from mirror_depth_ros.scenes.captions import tokenize
from mirror_depth_ros.training.schedule import adamw_warmup_cosine

# OpenAI's CLIP clips its learned temperature here (Radford et al., 2021).
_MAX_LOGIT_SCALE = 4.6052


class CaptionedScenes(Dataset[tuple[Tensor, Tensor]]):
    """Pictures and token ids."""

    def __init__(self, scenes: RenderedScenes, context_length: int) -> None:
        self._scenes = scenes
        self._tokens = tokenize(scenes.captions, context_length)

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rgb = torch.from_numpy(self._scenes.rgb[index].copy())
        return rgb.permute(2, 0, 1), self._tokens[index]


class BatchesOfOneKind(Sampler[list[int]]):
    """Shuffled batches in which all pictures are rooms, or all are roads.

    To tell a room from a road is learned at once; a batch of one kind asks for more.
    """

    def __init__(self, kinds: Sequence[str], batch_size: int) -> None:
        """Group picture numbers by kind; a kind's last, incomplete batch is left out."""
        self._by_kind = [
            [i for i, kind in enumerate(kinds) if kind == wanted] for wanted in sorted(set(kinds))
        ]
        self.batch_size = batch_size

    def __len__(self) -> int:
        return sum(len(numbers) // self.batch_size for numbers in self._by_kind)

    def __iter__(self) -> Iterator[list[int]]:
        batches = []
        for numbers in self._by_kind:
            order = torch.tensor(numbers)[torch.randperm(len(numbers))]
            whole = len(numbers) // self.batch_size * self.batch_size
            batches += order[:whole].view(-1, self.batch_size).tolist()
        for i in torch.randperm(len(batches)).tolist():
            yield batches[i]


class ClipPretraining(lightning.LightningModule):
    """CLIP's symmetric contrastive loss on picture-caption pairs."""

    def __init__(self, clip: CLIP, *, lr: float, weight_decay: float) -> None:
        super().__init__()
        self.clip = clip
        self.lr, self.weight_decay = lr, weight_decay
        self.loss = ClipLoss()
        self._normalise = Normalize(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        self._validation: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of one batch."""
        # On a CPU the fused attention's backward pass is slower than the plain products'.
        with sdpa_kernel(SDPBackend.MATH) if self.device.type == 'cpu' else nullcontext():
            images, texts = self._encode(batch)
        loss = self.loss(images, texts, self.clip.logit_scale.exp())
        self.log('loss', loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the temperature within CLIP's own bound."""
        self.clip.logit_scale.data.clamp_(0.0, _MAX_LOGIT_SCALE)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Keep the features; retrieval needs them together."""
        self._validation.append(self._encode(batch))

    def on_validation_epoch_end(self) -> None:
        """Report how often a picture finds its own caption among all of the validation's."""
        images, texts = (torch.cat(features) for features in zip(*self._validation, strict=True))
        self._validation.clear()
        self.log('recall_at_1', recall_at_1(images, texts), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay."""
        return adamw_warmup_cosine(
            self.clip.parameters(),
            lr=self.lr,
            weight_decay=self.weight_decay,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )

    def _encode(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        rgb, tokens = batch
        images = self.clip.encode_image(self._normalise(rgb / 255.0), normalize=True)
        return images, self.clip.encode_text(tokens, normalize=True)


def recall_at_1(images: Tensor, texts: Tensor) -> Tensor:
    """Return the share of pictures whose nearest caption is their own.

    :param images: unit features, ``[N, D]``.
    :param texts: unit features of their captions, ``[N, D]``.
    """
    nearest = (images @ texts.T).argmax(dim=1)
    return (nearest == torch.arange(len(images), device=images.device)).float().mean()
