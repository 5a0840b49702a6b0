"""Networks to compare the built-in model with, on the same frozen convolutional CLIP.

One whose condition depends on the image, and the ways from CLIP to depth that the paper compares
itself with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, pixel_shuffle

from mirror_depth_ros.model.clip import FrozenTextEncoder
from mirror_depth_ros.model.conv_encoder import make_image_encoder
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.model.pyramid_decoder import PyramidDecoder, Standardisation
from research.builtin.image_tower import PlaceEmbeddings
from research.builtin.vocabulary import Vocabulary


def with_mirror(config: MirrorDepthConfig, clip: nn.Module) -> MirrorDepth:
    """Return the network of the recipe."""
    return MirrorDepth(config, make_image_encoder(clip, config.taps), FrozenTextEncoder(clip))


def without_condition(config: MirrorDepthConfig, clip: nn.Module) -> MirrorDepth:
    """Return the same whose condition modulates nothing, for good."""
    network = with_mirror(config, clip)
    for layer, bias in ((network.film.scale, 1.0), (network.film.shift, 0.0)):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, bias)
    network.film.requires_grad_(False)
    network.mirror.requires_grad_(False)
    return network


class ImageConditioned(MirrorDepth):
    """The condition also comes from the image: its own CLIP embedding is a token.

    A learned map takes the embedding to the width of the text encoder's tokens; it stands before
    the mirror's, so that all of those see it through the causal mask.
    """

    decoder: PyramidDecoder

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        """Build it for images of any size; the mirror leaves one token of the context free."""
        embeddings, text_encoder = PlaceEmbeddings(clip), FrozenTextEncoder(clip)
        super().__init__(config, make_image_encoder(clip, config.taps), text_encoder)
        self.embeddings, self.text_encoder = embeddings, text_encoder
        self.to_token = nn.Linear(text_encoder.embed_dim, text_encoder.width)
        self.decoder.blocks = nn.ModuleList(_Modulated(block) for block in self.decoder.blocks)

    def condition(self) -> tuple[Tensor, Tensor]:
        """Return the identity: what there is to modulate is done block by block."""
        width = self.decoder.film_width
        return torch.ones(width), torch.zeros(width)

    def fold(self) -> ImageConditioned:
        """Leave all as it is: every image has its own condition."""
        return self

    def predict(self, taps: list[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Return depth and its scale, see :meth:`MirrorDepth.predict`."""
        embedding = normalize(self.embeddings(taps[-1]).mean(dim=1), dim=-1)  # [B, embed_dim]
        mirror = self.mirror().expand(len(embedding), -1, -1)
        tokens = torch.cat([self.to_token(embedding)[:, None], mirror], dim=1)  # [B, 1 + s, width]
        assert self.text_encoder is not None
        scale, shift = self.film(self.text_encoder(tokens))  # [B, film_width]
        widths = self.decoder.widths
        for block, a, b in zip(
            self.decoder.blocks, scale.split(widths, dim=-1), shift.split(widths, dim=-1)
        ):
            assert isinstance(block, _Modulated)
            block.condition = a[..., None, None], b[..., None, None]
        return super().predict(taps, grid)


class _Modulated(nn.Module):
    """A decoder's block, whose input is first scaled and shifted, image by image."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        #: Scale and shift for the next input, ``[B, C, 1, 1]`` each.
        self.condition: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, C, h, w]`` for the same."""
        assert self.condition is not None
        scale, shift = self.condition
        self.condition = None  # no copy of a network takes an image's condition along
        return self.block(scale * x + shift)


class _Compared(DepthNetwork):
    """What the paper is compared with: log canonical depth of the frozen tower's features."""

    config: MirrorDepthConfig

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = make_image_encoder(clip, config.taps)

    def log_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return the logarithm of canonical depth, ``[B, 1, H, W]``."""
        raise NotImplementedError

    def decode(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return canonical depth ``[B, 1, H, W]`` [m]; see :meth:`DepthNetwork.decode`."""
        low, high = math.log(self.config.min_depth), math.log(self.config.max_depth)
        return self.log_depth(taps, grid).clamp(low, high).exp()


class MeanMap(_Compared):
    """The same map for every picture."""

    #: Rows and columns of the map.
    SIZE = (24, 32)

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        """Start at 2 m everywhere."""
        super().__init__(config, clip)
        self.map = nn.Parameter(torch.full(self.SIZE, math.log(2.0)))

    def log_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return the map, whatever is in the picture."""
        patch = self.image_encoder.patch_size
        size = (grid[0] * patch, grid[1] * patch)
        drawn = interpolate(self.map[None, None], size, mode='bilinear')
        return drawn.expand(len(taps[0]), -1, -1, -1)


class LinearProbe(_Compared):
    """A linear map from every place's features, at every stride, to its pixels."""

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        super().__init__(config, clip)
        encoder: Any = self.image_encoder
        self.standardisations = nn.ModuleList(Standardisation(c) for c in encoder.channels)
        self.linear = nn.ModuleList(
            nn.Conv2d(c, s * s, 1) for c, s in zip(encoder.channels, encoder.strides)
        )
        for parameter in self.linear.parameters():  # all start at 1 m: no steps between pixels
            nn.init.zeros_(parameter)

    def log_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return the sum of what the strides say."""
        encoder: Any = self.image_encoder
        parts: list[Tensor] = []
        for tap, standardise, layer, stride in zip(
            taps, self.standardisations, self.linear, encoder.strides
        ):
            assert isinstance(standardise, Standardisation)
            if self.training and not standardise.is_measured:
                standardise.measure(tap)
            parts.append(pixel_shuffle(layer(standardise(tap)), stride))
        return torch.stack(parts).sum(dim=0)


class _Prompted(_Compared):
    """Depth as the mean of some, weighted by how a place resembles each one's sentence."""

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        embeddings = PlaceEmbeddings(clip)
        super().__init__(config, clip)
        self.embeddings = embeddings

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return unit text features ``[K, embed_dim]``, depths ``[K]`` [m], logits per cosine."""
        raise NotImplementedError

    def log_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return one depth for each place of the deepest stage, interpolated to pixels."""
        features, depths, scale = self.classes()
        cosines = normalize(self.embeddings(taps[-1]), dim=-1) @ features.T  # [B, h w, K]
        depth = (scale * cosines).softmax(dim=-1) @ depths
        coarse = depth.unflatten(1, (1, *grid))  # [B, 1, h, w]
        patch = self.image_encoder.patch_size
        return interpolate(coarse, scale_factor=patch, mode='bilinear').log()


class LearnedPrompts(_Prompted):
    """Auty and Mikolajczyk (2023): learned words, depths and sharpness, frozen text encoder."""

    CLASSES = 16
    #: Words that all classes share, before each one's own.
    SHARED = 8

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        """Start from random words, depths spread evenly in their logarithm, CLIP's own scale."""
        super().__init__(config, clip)
        self.text_encoder = FrozenTextEncoder(clip)
        width = self.text_encoder.width
        # As CLIP's own token embeddings are distributed (normal, std 0.02).
        self.shared = nn.Parameter(0.02 * torch.randn(self.SHARED, width))
        self.words = nn.Parameter(0.02 * torch.randn(self.CLASSES, width))
        low, high = math.log(config.min_depth), math.log(config.max_depth)
        self.log_depths = nn.Parameter(torch.linspace(low, high, self.CLASSES))
        self.log_scale = nn.Parameter(_logit_scale(clip).log())

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the learned sentences' features, their learned depths, the learned scale."""
        shared = self.shared.expand(self.CLASSES, -1, -1)
        sentences = torch.cat([shared, self.words[:, None]], dim=1)  # [K, words, width]
        features = normalize(self.text_encoder(sentences), dim=-1)
        return features, self.log_depths.exp(), self.log_scale.exp()


class DepthClip(_Prompted):
    """DepthCLIP (Zhang et al., 2022), zero-shot: what resembles which told distance.

    Asked in the words of the captions that the built-in text tower was tuned on.
    """

    #: The paper's; it divides CLIP's logits.
    TEMPERATURE = 0.1
    #: Sentences by the depth that they tell [m].
    SENTENCES = (
        *((metres, f'a photo of a place, {round(100 * metres)} cm deep') for metres in (0.3, 0.5)),
        *((metres, f'a photo of a place, {metres:g} m deep') for metres in (1.0, 1.5, 2.0, 3.0)),
        *((metres, f'a photo of a place, {metres:g} m deep') for metres in (5.0, 8.0, 12.0, 20.0)),
    )

    features: Tensor
    depths: Tensor
    scale: Tensor

    @torch.no_grad()
    def __init__(
        self, config: MirrorDepthConfig, clip: nn.Module, vocabulary: Sequence[str]
    ) -> None:
        """Read the sentences.

        :param vocabulary: the words that the CLIP's text tower knows.
        """
        super().__init__(config, clip)
        text: Any = clip
        sentences = [sentence for _, sentence in self.SENTENCES]
        tokens = Vocabulary(vocabulary).tokenize(sentences, len(text.positional_embedding))
        features = normalize(text.encode_text(tokens), dim=-1)
        self.register_buffer('features', features)
        self.register_buffer('depths', torch.tensor([metres for metres, _ in self.SENTENCES]))
        self.register_buffer('scale', _logit_scale(clip) / self.TEMPERATURE)

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sentences' features, the distances they tell, and the paper's sharpness."""
        return self.features, self.depths, self.scale


def _logit_scale(clip: Any) -> Tensor:
    """Return the factor that makes logits of cosines, as CLIP learned it."""
    return clip.logit_scale.detach().exp()
