"""A frozen CLIP, through open_clip: images to tapped features, embeddings to a text feature.

Any open_clip model with a ViT image tower and a transformer text tower serves. Nothing in here
ever receives a gradient update, although gradients flow *through* the text tower into the mirror.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import open_clip
import torch
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor, nn

# Lengths of a sequence at which plain products take a CPU less time in bf16 than its fused
# attention does (12 heads of 64: 4.1 ms against 5.8 at 485, 10 against 14 at 785); above, what
# lies between them no longer fits into the caches.
_PLAIN_LENGTHS = range(256, 1025)


class Frozen(nn.Module):
    """A module whose parameters never train and that always stays in evaluation mode."""

    def freeze(self) -> None:
        """Stop every parameter from ever receiving a gradient."""
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode whatever the network around it does."""
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Frozen:
        """Return itself: nothing here changes, and averages of a network share it."""
        return self

    def fingerprint(self) -> str:
        """Return a hash of the weights that are used, to tell one CLIP from another."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            # The sum makes -0 and 0, which are the same weight, the same bytes.
            digest.update((tensor.detach().float() + 0.0).cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


class FrozenImageEncoder(Frozen):
    """The image tower up to its last tapped block."""

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, clip: nn.Module, taps: Sequence[int]) -> None:
        """Take over a CLIP's image tower; blocks after the last tap are dropped.

        :param taps: 0-based blocks whose outputs are wanted, ascending.
        :raises ValueError: if the tower is no native ViT or has too few blocks.
        """
        super().__init__()
        visual = clip.visual
        if not isinstance(visual, VisionTransformer):
            raise ValueError(
                f'got an image tower of type {type(visual).__name__}, expected a native open_clip '
                'ViT (VisionTransformer); choose a ViT-* model'
            )
        blocks = visual.transformer.resblocks
        if (
            not taps
            or sorted(set(taps)) != list(taps)
            or not 0 <= taps[0] <= taps[-1] < len(blocks)
        ):
            raise ValueError(
                f'got taps {tuple(taps)}, expected ascending block numbers between 0 and '
                f'{len(blocks) - 1}'
            )
        self.taps = tuple(taps)
        self.patch_size: int = visual.patch_size[0]
        self.width: int = visual.transformer.width
        self._table_grid: tuple[int, int] = visual.grid_size
        self.conv1 = visual.conv1
        self.class_embedding = visual.class_embedding
        self.positional_embedding = visual.positional_embedding
        self.ln_pre = visual.ln_pre
        self.blocks = blocks[: taps[-1] + 1]
        for block in self.blocks:
            # Other kinds that open_clip has, and one that has been exchanged, stay as they are.
            if isinstance(block.attn, nn.MultiheadAttention):
                block.attn = SelfAttention(block.attn)
        # Here rather than with the callers, so that node, training and export cannot disagree.
        mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
        self.register_buffer('image_mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('image_std', torch.tensor(std).view(3, 1, 1), persistent=False)
        self._tables: dict[tuple[int, int, torch.device], Tensor] = {}
        self.freeze()

    @property
    def deepest_channels(self) -> int:
        """Numbers at each place of the deepest tap."""
        return self.width

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the patch tokens after every tapped block.

        :param images: RGB in 0..1, ``[B, 3, H, W]``, H and W multiples of the patch size.
        :returns: ``[B, N, C]`` per tap, N patches in rows.
        """
        x = self.conv1((images - self.image_mean) / self.image_std)  # [B, C, h, w]
        table = self.positional_table(x.shape[-2], x.shape[-1])
        x = x.flatten(2).transpose(1, 2)  # [B, N, C]
        x = torch.cat([self.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        x = self.ln_pre(x + table.to(x.dtype))  # [B, 1 + N, C]
        tapped = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.taps:
                tapped.append(x[:, 1:])
        return tapped

    def positional_table(self, rows: int, columns: int) -> Tensor:
        """Return the positional embeddings for a grid of patches, ``[1 + rows * columns, C]``.

        The learned table is interpolated bicubically, as in DINO and open_clip's own resizing; a
        grid is computed once and kept.
        """
        if (rows, columns) == self._table_grid:
            return self.positional_embedding
        key = (rows, columns, self.positional_embedding.device)
        if key not in self._tables:
            of_class, of_patches = self.positional_embedding.split(
                [1, math.prod(self._table_grid)]
            )
            grid = of_patches.T.reshape(1, self.width, *self._table_grid)
            grid = nn.functional.interpolate(
                grid, (rows, columns), mode='bicubic', antialias=True, align_corners=False
            )
            self._tables[key] = torch.cat([of_class, grid.flatten(2)[0].T]).detach()
        return self._tables[key]


class FrozenTextEncoder(Frozen):
    """The text tower from token embeddings on: what the mirror is shown to."""

    attn_mask: Tensor | None

    def __init__(self, clip: nn.Module) -> None:
        """Take over a CLIP's text tower, without its token embeddings.

        :raises ValueError: if the text tower is not open_clip's own transformer.
        """
        super().__init__()
        text = getattr(clip, 'text', clip)  # CustomTextCLIP nests what CLIP holds itself
        if not isinstance(text, TextTransformer) and text is not clip:
            raise ValueError(
                f'got a text tower of type {type(text).__name__}, expected an open_clip '
                "transformer; choose a model with CLIP's own text tower"
            )
        self.transformer = text.transformer
        self.positional_embedding = text.positional_embedding
        self.ln_final = text.ln_final
        self.text_projection = text.text_projection
        self.register_buffer('attn_mask', text.attn_mask, persistent=False)
        #: Longest sequence the positional embeddings allow.
        self.context_length: int = len(text.positional_embedding)
        #: Width of a token embedding.
        self.width: int = text.transformer.width
        #: Width of the joint image-text space.
        self.embed_dim: int = (
            text.text_projection.out_features
            if isinstance(text.text_projection, nn.Linear)
            else text.text_projection.shape[1]
        )
        self.freeze()

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the text feature of one or more sequences of token embeddings.

        The sequence takes the place of embedded words; its last position, which sees all the
        others through the causal mask, takes the place of the end-of-text token.

        :param embeddings: ``[..., s, width]``, s at most :attr:`context_length`.
        :returns: ``[..., embed_dim]``, not normalised.
        """
        tokens = embeddings.shape[-2]
        x = embeddings + self.positional_embedding[:tokens]
        mask = None if self.attn_mask is None else self.attn_mask[:tokens, :tokens]
        x = self.transformer(x.reshape(-1, tokens, self.width), attn_mask=mask)
        x = self.ln_final(x)[:, -1]  # [N, width]
        x = x.reshape(*embeddings.shape[:-2], self.width)
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(x)
        return x @ self.text_projection


class SelfAttention(nn.Module):
    """A ``torch.nn.MultiheadAttention`` of one sequence with itself, under its parameters' names.

    PyTorch's own hands its first matrix product the batch and the sequence exchanged. Where the
    weights ask for no gradient, as frozen ones do, a CPU then multiplies position by position,
    with a copy of the weights for each: in bf16, the built-in model took four times as long for
    four images in one batch as for the four one after the other.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        """Share the parameters of an attention over one width, the batch first."""
        super().__init__()
        self.num_heads: int = attention.num_heads
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """Return ``[B, N, C]`` for the same three times over, called as PyTorch's own is.

        :param need_weights: False; there are none to return.
        :param attn_mask: added to the logits, ``[N, N]``.
        """
        projected = nn.functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        parts = projected.unflatten(-1, (3, self.num_heads, -1))  # [B, N, 3, heads, C / heads]
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # [B, heads, N, C / heads] each
        mixed = _attend(query, key, value, attn_mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return the values mixed by attention, ``[B, heads, N, D]`` for the same three times over."""
    plain = (
        mask is None
        and query.device.type == 'cpu'
        and query.dtype == torch.bfloat16
        and query.shape[-2] in _PLAIN_LENGTHS
        and not torch.is_grad_enabled()
    )
    if not plain:
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    # Autocast would take the softmax to fp32.
    with torch.autocast('cpu', enabled=False):
        return logits.softmax(dim=-1) @ value
