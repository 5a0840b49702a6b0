"""The whole network: frozen CLIP, mirror, decoder, and the step from canonical to metric depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mirror_depth_ros.model.clip import FrozenImageEncoder, FrozenTextEncoder
from mirror_depth_ros.model.clip_loading import load_clip
from mirror_depth_ros.model.conv_encoder import ImageEncoder, make_image_encoder
from mirror_depth_ros.model.decoder import Decoder
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror import Film, Mirror
from mirror_depth_ros.model.pyramid_decoder import PyramidDecoder
from mirror_depth_ros.validation import (
    Choice,
    Flag,
    Integer,
    Number,
    OrNone,
    Rule,
    Several,
    Text,
    check,
)


@dataclass(frozen=True)
class MirrorDepthConfig:
    """Everything that decides the network's shape and units.

    The defaults are the paper's configuration in its CLIPSeg reading.

    :raises ValueError: for values outside what is named below.
    """

    #: What each field must be. The limits are far beyond any use: a damaged or foreign file must
    #: not ask for all memory of the machine, and no depth may overflow.
    RULES: ClassVar[Mapping[str, Rule]] = {
        'clip': Text(),
        'clip_weights': OrNone(Text()),
        'taps': Several(Integer(0, 1023), 1, 64),
        'mirror_tokens': Integer(1, 4096),
        'width': Integer(1, 1024),
        'heads': Integer(1, 64),
        'mlp_width': Integer(1, 16384),
        'film': Choice(('deepest', 'every')),
        'blocks_per_tap': Integer(1, 16),
        'position': Choice(('clip', 'fourier')),
        'output': Choice(('softplus', 'log')),
        'confidence': Flag(),
        'input_size': Several(Integer(1, 4096), 2),
        'reference_focal_px': Number(1, 100_000, 'pixels'),
        'min_depth': Number(0.0001, 100_000, 'metres'),
        'max_depth': Number(0.0001, 100_000, 'metres'),
    }

    #: open_clip model name.
    clip: str = 'ViT-B-16-quickgelu'
    #: open_clip weights tag or file; None leaves the weights random.
    clip_weights: str | None = None
    #: 0-based blocks of a ViT, or stages of a convolutional tower, that are decoded, ascending.
    taps: tuple[int, ...] = (3, 6, 9)
    #: Rows of the mirror.
    mirror_tokens: int = 64
    #: Width of the decoder; of a convolutional tower's, that of its deepest level.
    width: int = 64
    #: Attention heads, and hidden width of the MLP, of a block of a ViT's decoder.
    heads: int = 4
    mlp_width: int = 2048
    #: Where the condition modulates: after the first tap taken in (``deepest``, CLIPSeg) or after
    #: ``every`` tap.
    film: str = 'deepest'
    #: Decoder blocks after each tap.
    blocks_per_tap: int = 1
    #: What tells the decoder where a patch lies: ``clip`` (its features alone) or ``fourier``.
    position: str = 'clip'
    #: ``softplus`` (the paper) or ``log``: depth spread evenly in its logarithm over the range.
    output: str = 'softplus'
    #: Whether a second number is predicted for each pixel: how far off its depth may be.
    confidence: bool = False
    #: Height and width the network is trained at [pixels]; others work too.
    input_size: tuple[int, int] = (352, 352)
    #: Focal length that the predicted, canonical depth is for, at the network's input [pixels].
    reference_focal_px: float = 300.0
    #: Range of the canonical depth [m].
    min_depth: float = 0.1
    max_depth: float = 100.0

    def __post_init__(self) -> None:
        check(vars(self), self.RULES)
        if self.width % self.heads or self.width % 2:
            raise ValueError(
                f'got width={self.width} and heads={self.heads}, expected an even width that the '
                'heads divide'
            )
        if self.min_depth >= self.max_depth:
            raise ValueError(
                f'got a depth range of {self.min_depth} to {self.max_depth} m, expected '
                'min_depth < max_depth; correct them'
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MirrorDepthConfig:
        """Return the configuration that :meth:`to_dict` gave.

        :raises ValueError: for missing or unknown names, or values of the wrong type.
        """
        names = sorted(f.name for f in fields(cls))
        if sorted(values) != names:
            raise ValueError(
                f'got configuration entries {sorted(values)}, expected exactly {names}; '
                'the file is of another version'
            )
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        return asdict(self)


class MirrorDepth(DepthNetwork):
    """RGB and focal length in, metric depth out.

    While training, the condition is computed from the mirror by the frozen text encoder. It
    depends on no image, so :meth:`fold` replaces all of that by the scale and shift it leads to.
    """

    config: MirrorDepthConfig
    film_scale: Tensor
    film_shift: Tensor

    def __init__(
        self,
        config: MirrorDepthConfig,
        image_encoder: ImageEncoder,
        text_encoder: FrozenTextEncoder | None,
    ) -> None:
        """Assemble the network; without a text encoder it is folded, its condition to be loaded.

        :raises ValueError: if the mirror is longer than the text encoder's context.
        """
        super().__init__()
        self.config = config
        self.image_encoder = image_encoder
        self.decoder = _make_decoder(config, image_encoder)
        film_width = self.decoder.film_width
        self.text_encoder = text_encoder
        if text_encoder is None:
            self.register_buffer('film_scale', torch.ones(film_width))
            self.register_buffer('film_shift', torch.zeros(film_width))
            return
        if config.mirror_tokens > text_encoder.context_length:
            raise ValueError(
                f'got mirror_tokens={config.mirror_tokens}, expected at most '
                f'{text_encoder.context_length}, the context length of {config.clip}'
            )
        self.mirror = Mirror(config.mirror_tokens, text_encoder.width)
        self.film = Film(text_encoder.embed_dim, film_width)

    @classmethod
    def from_config(cls, config: MirrorDepthConfig) -> MirrorDepth:
        """Build the trainable network on the CLIP that the configuration names."""
        clip = load_clip(config.clip, config.clip_weights)
        return cls(config, make_image_encoder(clip, config.taps), FrozenTextEncoder(clip))

    @property
    def has_confidence(self) -> bool:
        """Whether it says how sure it is of its depth."""
        return self.config.confidence

    @property
    def is_folded(self) -> bool:
        """Whether the condition is a stored constant and the text encoder is gone."""
        return self.text_encoder is None

    def condition(self) -> tuple[Tensor, Tensor]:
        """Return the FiLM scale and shift that the mirror leads to, ``[width]`` each."""
        if self.text_encoder is None:
            return self.film_scale, self.film_shift
        return self.film(self.text_encoder(self.mirror()))

    @torch.no_grad()
    def fold(self) -> MirrorDepth:
        """Compute the condition once and drop the mirror and the text encoder, in place."""
        if not self.is_folded:
            scale, shift = self.condition()
            del self.mirror, self.film
            self.text_encoder = None
            self.register_buffer('film_scale', scale.clone())
            self.register_buffer('film_shift', shift.clone())
        return self

    def decode(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return canonical depth ``[B, 1, H, W]`` [m]; see :meth:`DepthNetwork.decode`."""
        return self.predict(taps, grid)[0]

    def predict(self, taps: list[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Return canonical depth and, where it is trained, how far off it may be.

        See :meth:`DepthNetwork.predict`.
        """
        taps = taps[::-1]
        if self.training and isinstance(self.decoder, PyramidDecoder):
            self.decoder.measure(taps)
        scale, shift = self.condition()
        logits = self.decoder(taps, scale, shift, grid).float()
        depth = self._to_depth(logits[:, :1])
        if not self.config.confidence:
            return depth, None
        return depth, logits[:, 1:]

    def _to_depth(self, logits: Tensor) -> Tensor:
        low, high = self.config.min_depth, self.config.max_depth
        if self.config.output == 'softplus':
            return (low + nn.functional.softplus(logits)).clamp(max=high)
        return low * (high / low) ** torch.sigmoid(logits)


def _make_decoder(
    config: MirrorDepthConfig, image_encoder: ImageEncoder
) -> Decoder | PyramidDecoder:
    """Return the decoder that a kind of image tower asks for."""
    patch = image_encoder.patch_size
    grid = (config.input_size[0] // patch, config.input_size[1] // patch)
    options: dict[str, Any] = {
        'width': config.width,
        'film_every_tap': config.film == 'every',
        'blocks_per_tap': config.blocks_per_tap,
        'trained_grid': grid if config.position == 'fourier' else None,
        'outputs': 1 + config.confidence,
    }
    if not isinstance(image_encoder, FrozenImageEncoder):
        channels, strides = image_encoder.channels, image_encoder.strides
        return PyramidDecoder(channels=channels, strides=strides, **options)
    return Decoder(
        taps=len(config.taps),
        feature_dim=image_encoder.width,
        heads=config.heads,
        mlp_width=config.mlp_width,
        patch_size=patch,
        **options,
    )
