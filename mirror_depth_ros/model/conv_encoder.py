"""Convolutional image towers of a frozen CLIP: RGB to maps of falling resolution.

Those of timm (EfficientNet, ConvNeXt, MobileCLIP's FastViT ...) and OpenAI's RN50 family, whose
stages halve the resolution from one to the next. open_clip's own ViT is in ``clip.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import open_clip
import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.layers import Conv2dSame
from torch import Tensor, nn

from mirror_depth_ros.model.clip import Frozen, FrozenImageEncoder


class FrozenConvEncoder(Frozen):
    """A convolutional tower up to its last tapped stage."""

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, clip: nn.Module, taps: Sequence[int]) -> None:
        """Take over a CLIP's image tower; what comes after the last tap is dropped.

        :param taps: 0-based stages whose outputs are wanted, ascending.
        :raises ValueError: for a tower without stages, or taps that it does not have.
        """
        super().__init__()
        visual: Any = clip.visual
        channels, strides = _stages(visual)
        if (
            not taps
            or sorted(set(taps)) != list(taps)
            or not 0 <= taps[0] <= taps[-1] < len(channels)
        ):
            raise ValueError(
                f'got taps {tuple(taps)}, expected ascending stage numbers between 0 and '
                f'{len(channels) - 1}'
            )
        self.taps = tuple(taps)
        #: Channels of each tap.
        self.channels = tuple(channels[i] for i in taps)
        #: What each tap's resolution is divided by.
        self.strides = tuple(strides[i] for i in taps)
        #: What the sides of an input are multiples of.
        self.patch_size = self.strides[-1]
        if list(self.strides) != sorted(set(self.strides)):
            raise ValueError(
                f'got taps {self.taps} at strides {self.strides}, expected each at a coarser one '
                'than the last; leave one out'
            )
        if isinstance(visual, TimmModel):
            visual.trunk.prune_intermediate_layers(list(taps), prune_norm=True, prune_head=True)
            visual.head = nn.Identity()
        else:
            visual.attnpool = nn.Identity()
        _pad_statically(visual)
        self.visual: Any = visual
        # Here rather than with the callers, so that node, training and export cannot disagree.
        mean = getattr(visual, 'image_mean', None) or open_clip.OPENAI_DATASET_MEAN
        std = getattr(visual, 'image_std', None) or open_clip.OPENAI_DATASET_STD
        self.register_buffer('image_mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('image_std', torch.tensor(std).view(3, 1, 1), persistent=False)
        self.freeze()

    @property
    def deepest_channels(self) -> int:
        """Numbers at each place of the deepest tap."""
        return self.channels[-1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the tapped maps, shallowest first.

        :param images: RGB in 0..1, ``[B, 3, H, W]``, H and W multiples of the patch size.
        :returns: ``[B, C, h, w]`` per tap, at its own stride.
        """
        features = self.visual.forward_intermediates(
            (images - self.image_mean) / self.image_std,
            indices=list(self.taps),
            stop_early=True,
            intermediates_only=True,
        )
        return list(features['image_intermediates'])

    def tap_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return ``(C, h, w)`` of each tap for images of that size [pixels]."""
        return [(c, height // s, width // s) for c, s in zip(self.channels, self.strides)]


ImageEncoder = FrozenImageEncoder | FrozenConvEncoder


def make_image_encoder(clip: nn.Module, taps: Sequence[int]) -> ImageEncoder:
    """Return the frozen encoder that a CLIP's kind of image tower asks for.

    :param taps: 0-based blocks of a ViT, or stages of a convolutional tower, ascending.
    :raises ValueError: for another kind of tower, or taps that it does not have.
    """
    if isinstance(clip.visual, VisionTransformer):
        return FrozenImageEncoder(clip, taps)
    return FrozenConvEncoder(clip, taps)


def _stages(visual: Any) -> tuple[list[int], list[int]]:
    """Return channels and strides of a tower's stages.

    :raises ValueError: for a tower that has none.
    """
    if isinstance(visual, ModifiedResNet):
        stages = [visual.layer1, visual.layer2, visual.layer3, visual.layer4]
        channels = [stage[-1].bn3.num_features for stage in stages]
        return [visual.conv3.out_channels, *channels], [4, 4, 8, 16, 32]
    info = getattr(getattr(visual, 'trunk', None), 'feature_info', None)
    if isinstance(visual, TimmModel) and info is not None:
        entries = list(info) if isinstance(info, list) else info.get_dicts()
        strides = [entry['reduction'] for entry in entries]
        if len(set(strides)) > 1:
            return [entry['num_chs'] for entry in entries], strides
    raise ValueError(
        f'got an image tower of type {type(visual).__name__}, expected a ViT of open_clip, a '
        'convolutional tower of timm (EfficientNet, ConvNeXt, FastViT ...) or one of the RN50 '
        'family; choose another model'
    )


def _pad_statically(visual: nn.Module) -> None:
    """Replace TensorFlow's padding, worked out for every input, by the one that inputs here have.

    All sides are multiples of the strides, so a stride of 2 always meets an even side: it lacks
    ``kernel - 2`` pixels, one more after than before. Fixed, it exports for any size of image.
    """
    for name, layer in list(visual.named_modules()):
        if isinstance(layer, Conv2dSame):
            lacking = [k - s for k, s in zip(layer.kernel_size, layer.stride)]
            sides = [side for n in reversed(lacking) for side in (n // 2, n - n // 2)]
            parent = visual.get_submodule(name.rpartition('.')[0])
            setattr(parent, name.rpartition('.')[2], _Padded(layer, sides))


class _Padded(nn.Module):
    """A convolution with more padding on one side than on the other."""

    def __init__(self, convolution: nn.Conv2d, sides: list[int]) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.stride, self.groups, self.sides = convolution.stride, convolution.groups, sides

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the padded input."""
        x = nn.functional.pad(x, self.sides)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)
