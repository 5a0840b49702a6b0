"""The image tower learns depth, once, before it is frozen for good.

Its later stages and a first mirror and decoder are trained together. What an image is *called*
must not change: the tower's embedding is held to what it was, so that the text tower that was
tuned to it still fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from mirror_depth_ros.model.clip import FrozenTextEncoder
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.model.pyramid_decoder import PyramidDecoder
from research.builtin.depth import BuiltinTraining
from research.builtin.fast_encoder import FastModule
from research.builtin.image_tower import PlaceEmbeddings

#: Blocks from this one on learn. Those before see edges and colours, for half of the cost.
FIRST_LEARNED = 2


class LearningTower(nn.Module):
    """What a :class:`FrozenConvEncoder` of an EfficientNet computes, to be trained."""

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: FrozenConvEncoder, places: PlaceEmbeddings) -> None:
        """Take over an encoder's tower, which stays in evaluation mode: its norms do not learn.

        :param places: the steps after its last tap, which stay.
        :raises ValueError: if the first tap is not where learning begins.
        """
        super().__init__()
        self.channels, self.strides = encoder.channels, encoder.strides
        self.patch_size = encoder.patch_size
        trunk = encoder.visual.trunk
        first, *self.ends = (trunk.stage_ends[tap] for tap in encoder.taps)
        if first != FIRST_LEARNED:
            raise ValueError(
                f'got taps of which the first ends before block {first}, expected block '
                f'{FIRST_LEARNED}, from which on the tower learns; take the taps [1, 2, 3, 4]'
            )
        self.early = nn.Sequential(trunk.conv_stem, trunk.bn1, *trunk.blocks[:first])
        #: Those that learn, by the number that the tower gives them.
        self.blocks = nn.ModuleDict({str(i): trunk.blocks[i] for i in range(first, self.ends[-1])})
        self.places = places
        self.register_buffer('mean', encoder.image_mean, persistent=False)
        self.register_buffer('std', encoder.image_std, persistent=False)
        for parameter in self.blocks.parameters():
            parameter.requires_grad_(parameter.ndim > 1)

    def train(self, mode: bool = True) -> LearningTower:
        """Stay in evaluation mode."""
        return super().train(False)

    def normalise(self, images: Tensor) -> Tensor:
        """Return images in 0..1 as the stem takes them."""
        return (images - self.mean) / self.std

    def later(self, first: Tensor) -> list[Tensor]:
        """Return all taps, given the shallowest."""
        taps, x = [first], first
        for number, block in self.blocks.items():
            x = block(x)
            if int(number) + 1 in self.ends:
                taps.append(x)
        return taps

    def embed(self, taps: list[Tensor]) -> Tensor:
        """Return the images' embeddings, ``[B, embed_dim]``, given their taps."""
        return self.places(taps[-1]).mean(dim=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the tapped maps, see :meth:`FrozenConvEncoder.forward`."""
        return self.later(self.early(self.normalise(images)))


class _Embedding(nn.Module):
    """From the shallowest tap to the image's embedding."""

    def __init__(self, tower: LearningTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, first: Tensor) -> Tensor:
        return self.tower.embed(self.tower.later(first))


def with_tower(clip: Mapping[str, Tensor], tuned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a CLIP's weights with what its tower learned, rounded as the others are.

    :param tuned: weights of a network whose tower is a :class:`LearningTower`.
    """
    learned = {
        name.replace('image_encoder.', 'visual.trunk.'): tensor
        for name, tensor in tuned.items()
        if name.startswith('image_encoder.blocks.')
    }
    return {
        name: learned[name].to(tensor.dtype) if name in learned else tensor
        for name, tensor in clip.items()
    }


def learning_network(config: MirrorDepthConfig, clip: nn.Module) -> MirrorDepth:
    """Return a network whose image tower learns as well."""
    places = PlaceEmbeddings(clip)  # before an encoder drops them
    tower: Any = LearningTower(FrozenConvEncoder(clip, config.taps), places)
    return MirrorDepth(config, tower, FrozenTextEncoder(clip)).train()


class TowerTuning(BuiltinTraining):
    """The image tower's later convolutions learn as well, more slowly."""

    def __init__(
        self,
        model: MirrorDepth,
        fast: None = None,
        *,
        tower_lr_share: float = 0.05,
        keep_weight: float = 1.0,
        **options: Any,
    ) -> None:
        """Train all of ``model``, whose tower is a :class:`LearningTower`.

        :param tower_lr_share: the tower's learning rate, as a part of what starts from nothing.
        :param keep_weight: of how far the image's embedding turns away from what it was.
        """
        super().__init__(model, None, **options)
        tower: Any = model.image_encoder
        height, width = model.config.input_size
        stride = tower.strides[0]
        first = (tower.channels[0], height // stride, width // stride)
        # In lists, so that they are no part of the state. Made from the weights as they are now.
        self._early = [FastModule(tower.early, (3, height, width))]
        self._kept = [FastModule(_Embedding(tower), first)]
        self._lr_share, self._keep_weight = tower_lr_share, keep_weight
        self._turned = torch.zeros(())

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the tower's taps, which gradients reach."""
        tower: Any = self.model.image_encoder
        if images.shape[-2:] != self.model.config.input_size:
            return tower(images)
        (first,) = self._early[0](tower.normalise(images))
        taps = tower.later(first)
        if self.training:
            # What is usual is measured here: measured by the network, it would be learned from.
            assert isinstance(self.model.decoder, PyramidDecoder)
            self.model.decoder.measure([tap.detach() for tap in reversed(taps)])
            (kept,) = self._kept[0](first)
            self._turned = (1.0 - cosine_similarity(tower.embed(taps), kept)).mean()
        return taps

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = super().training_step(batch, index)
        self.log('turned', self._turned)
        return loss + self._keep_weight * self._turned

    def configure_optimizers(self) -> Any:
        """AdamW as for all, with two learning rates."""
        tower = [p for p in self.model.image_encoder.parameters() if p.requires_grad]
        theirs = {id(p) for p in tower}
        others = [p for p in self.model.parameters() if p.requires_grad and id(p) not in theirs]
        matrices, vectors = ([p for p in others if (p.ndim > 1) is m] for m in (True, False))
        groups = [
            {'params': matrices, 'weight_decay': self.weight_decay},
            {'params': vectors, 'weight_decay': 0.0},
            {'params': tower, 'weight_decay': 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.lr, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [self.lr, self.lr, self._lr_share * self.lr],
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.05,
            cycle_momentum=False,
        )
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }
