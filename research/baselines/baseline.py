"""What all baselines share: the compared model's CLIP and units, and full precision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mirror_depth_ros.model.clip import Frozen, FrozenImageEncoder
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig


@dataclass(frozen=True)
class BaselineConfig:
    """What a baseline has in common with the model that it is compared with.

    Its fields must be what those of :class:`MirrorDepthConfig` must.
    """

    #: open_clip model name.
    clip: str
    #: 0-based blocks whose outputs are decoded, ascending.
    taps: tuple[int, ...]
    #: Height and width of training pictures [pixels].
    input_size: tuple[int, int]
    #: Focal length that canonical depth is for, at the network's input [pixels].
    reference_focal_px: float
    #: Range of the canonical depth [m].
    min_depth: float
    max_depth: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON gives them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


class Baseline(DepthNetwork):
    """A way from the frozen CLIP's features to depth that is not the mirror's."""

    config: BaselineConfig
    image_encoder: FrozenImageEncoder

    def __init__(
        self, config: MirrorDepthConfig, clip: nn.Module, taps: tuple[int, ...] | None = None
    ) -> None:
        """Take over the compared model's CLIP and units.

        :param config: the compared model's.
        :param clip: the CLIP that it names; it is frozen.
        :param taps: other blocks to look at than the model does.
        """
        super().__init__()
        taps = config.taps if taps is None else taps
        self.image_encoder = FrozenImageEncoder(clip, taps)
        self.config = BaselineConfig(
            clip=config.clip,
            taps=taps,
            input_size=config.input_size,
            reference_focal_px=config.reference_focal_px,
            min_depth=config.min_depth,
            max_depth=config.max_depth,
        )

    def decode(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return canonical depth ``[B, 1, H, W]`` [m]; see :meth:`DepthNetwork.decode`."""
        # A temperature of a thousandth, or the logarithm of a depth, asks for all of fp32.
        with torch.autocast(taps[0].device.type, enabled=False):
            depth = self.canonical_depth([tap.float() for tap in taps], grid)
        return depth.clamp(self.config.min_depth, self.config.max_depth)

    def canonical_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return what :meth:`decode` does, before it is held to the configured range."""
        raise NotImplementedError

    def fitted(self) -> dict[str, Tensor]:
        """Return, by name, what is no part of CLIP: what a file of weights holds."""
        frozen = tuple(
            f'{name}.' for name, child in self.named_children() if isinstance(child, Frozen)
        )
        return {k: v for k, v in self.state_dict().items() if not k.startswith(frozen)}

    def clip_fingerprint(self) -> str:
        """Return a hash of every part of CLIP that is used."""
        parts = (child for child in self.children() if isinstance(child, Frozen))
        return '-'.join(part.fingerprint() for part in parts)
