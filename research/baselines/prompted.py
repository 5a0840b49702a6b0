"""Baselines that compare each patch with sentences about distance, in CLIP's joint space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from mirror_depth_ros.model.clip import Frozen, FrozenTextEncoder
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from research.baselines.baseline import Baseline


@dataclass(frozen=True)
class DistancePrompts:
    """Sentences that tell a distance, and how a CLIP reads them."""

    #: Sentences by the canonical depth that they tell [m].
    sentences: Mapping[float, Sequence[str]]
    #: Sentences and context length to token ids ``[N, context_length]``.
    tokenize: Callable[[Sequence[str], int], Tensor]
    #: How many tokens a CLIP that reads these sentences knows.
    vocabulary_size: int


class FrozenJointSpace(Frozen):
    """The last step of the image tower, taken by every patch instead of their mean."""

    def __init__(self, clip: nn.Module) -> None:
        """Take over norm and projection of a CLIP's image tower.

        :raises ValueError: if it pools by attention, or projects nothing.
        """
        super().__init__()
        visual: Any = clip.visual
        if visual.attn_pool is not None or visual.proj is None:
            raise ValueError(
                'got an image tower whose patches have no place in the joint image-text space, '
                'expected one with a projection and without attention pooling; choose such a ViT'
            )
        self.ln_post, self.proj = visual.ln_post, visual.proj
        self.freeze()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return unit vectors ``[..., embed_dim]`` for outputs ``[..., C]`` of the last block."""
        return normalize(self.ln_post(tokens) @ self.proj, dim=-1)


class _PromptedBaseline(Baseline):
    """Depth as the mean of some depths, weighted by how a patch resembles each one's sentence."""

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        # What has no such blocks is refused, with the reason, once it is asked for block 0.
        blocks = getattr(getattr(clip.visual, 'transformer', None), 'resblocks', (None,))
        super().__init__(config, clip, taps=(len(blocks) - 1,))
        self.joint_space = FrozenJointSpace(clip)

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return unit text features ``[K, embed_dim]``, depths ``[K]`` [m], logits per cosine."""
        raise NotImplementedError

    def canonical_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return one depth per patch, interpolated to pixels."""
        features, depths, scale = self.classes()
        cosines = self.joint_space(taps[-1]) @ features.T  # [B, N, K]
        depth = (scale * cosines).softmax(dim=-1) @ depths
        coarse = depth.unflatten(1, (1, *grid))  # [B, 1, h, w]
        return interpolate(coarse, scale_factor=self.image_encoder.patch_size, mode='bilinear')


class DepthClip(_PromptedBaseline):
    """DepthCLIP (Zhang et al., 2022): zero-shot, with the distances that sentences tell as bins.

    Its own words (*giant*, *close*, *far* ...) and bins up to 3 m are for the published CLIPs.
    """

    #: The paper's; it divides CLIP's logits, which are cosines times CLIP's own learned scale.
    TEMPERATURE = 0.1

    features: Tensor
    depths: Tensor
    scale: Tensor

    @torch.no_grad()
    def __init__(
        self, config: MirrorDepthConfig, clip: nn.Module, prompts: DistancePrompts
    ) -> None:
        """Read the sentences; the features of those of one distance are averaged.

        :raises ValueError: for a CLIP with another vocabulary than the sentences'.
        """
        super().__init__(config, clip)
        text: Any = getattr(clip, 'text', clip)  # CustomTextCLIP nests what CLIP holds itself
        vocabulary_size = text.token_embedding.num_embeddings
        if vocabulary_size != prompts.vocabulary_size:
            raise ValueError(
                f'got CLIP {config.clip} with a vocabulary of {vocabulary_size} words, expected '
                f'the {prompts.vocabulary_size} of the captions that the built-in CLIP learned; '
                'depthclip asks in these words, so evaluate it with a model on that CLIP'
            )
        tokens = prompts.tokenize(
            [s for sentences in prompts.sentences.values() for s in sentences],
            len(text.positional_embedding),
        )
        encode: Any = clip.encode_text
        read = normalize(encode(tokens), dim=-1)
        per_class = read.split([len(sentences) for sentences in prompts.sentences.values()])
        features = normalize(torch.stack([part.mean(dim=0) for part in per_class]), dim=-1)
        self.register_buffer('features', features, persistent=False)
        self.register_buffer('depths', torch.tensor([*prompts.sentences]), persistent=False)
        scale = _log_scale(clip).exp() / self.TEMPERATURE
        self.register_buffer('scale', scale, persistent=False)

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sentences' features, the distances they tell, and the paper's sharpness."""
        return self.features, self.depths, self.scale


class LearnedPrompts(_PromptedBaseline):
    """Auty and Mikolajczyk (2023): DepthCLIP with learned words, depths and temperature.

    A class is a few learned words that all classes share and one of its own, as embeddings through
    the frozen text encoder. It sees no word of a language.
    """

    CLASSES = 16
    #: Shared words before each class's own.
    CONTEXT = 8

    features: Tensor

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        """Start from random words, depths spread evenly in their logarithm, CLIP's own scale."""
        super().__init__(config, clip)
        self.text_encoder: FrozenTextEncoder | None = FrozenTextEncoder(clip)
        width = self.text_encoder.width
        # As CLIP's own token embeddings are distributed (normal, std 0.02).
        self.context = nn.Parameter(0.02 * torch.randn(self.CONTEXT, width))
        self.depth_words = nn.Parameter(0.02 * torch.randn(self.CLASSES, width))
        low, high = math.log(config.min_depth), math.log(config.max_depth)
        self.log_depths = nn.Parameter(torch.linspace(low, high, self.CLASSES))
        self.log_scale = nn.Parameter(_log_scale(clip))

    def classes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the learned sentences' features, their learned depths, the learned scale."""
        return self._read_words(), self.log_depths.exp(), self.log_scale.exp()

    def _read_words(self) -> Tensor:
        """Return the classes' unit text features, ``[K, embed_dim]``."""
        if self.text_encoder is None:
            return self.features
        shared = self.context.expand(self.CLASSES, -1, -1)
        sentences = torch.cat([shared, self.depth_words[:, None]], dim=1)  # [K, words, width]
        return normalize(self.text_encoder(sentences), dim=-1)

    @torch.no_grad()
    def fold(self) -> LearnedPrompts:
        """Read the words once and drop the text encoder, in place."""
        self.register_buffer('features', self._read_words().clone(), persistent=False)
        self.text_encoder = None
        return self


def _log_scale(clip: Any) -> Tensor:
    """Return the logarithm of the factor that makes logits of cosines, as CLIP learned it."""
    return clip.logit_scale.detach().clone()
