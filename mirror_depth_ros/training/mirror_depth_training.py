"""The training that ``mirror_depth train`` runs: what its recipe's ``model`` section says."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.depth_training import OPTION_RULES, DepthTraining
from mirror_depth_ros.validation import check


class MirrorDepthTraining(DepthTraining):
    """Mirror and decoder of a network on a frozen CLIP, from the start or from a checkpoint."""

    model: MirrorDepth

    def __init__(
        self,
        network: MirrorDepthConfig = MirrorDepthConfig(),  # noqa: B008 - it is frozen
        init: str | None = None,
        clip_weights: str | None = None,
        loss: Literal['silog', 'log_l1', 'relative'] = 'silog',
        lr: float = 1e-3,
        weight_decay: float = 0.01,
    ) -> None:
        """Build the network.

        Args:
            network: The network to train from the start.
            init: Go on from this model instead, builtin or the path of a checkpoint;
                its network is taken, and what is said about one above is not.
            clip_weights: Where this machine has the CLIP weights, a tag of open_clip or a file, if
                elsewhere than the network or the checkpoint says.
            loss: What is minimised, of the logarithm of depth.
            lr: Highest learning rate, after the warm-up.
            weight_decay: Of AdamW; biases and norms are spared.
        """
        # First: a CLIP takes long to load.
        check(
            {'loss': loss, 'lr': lr, 'weight_decay': weight_decay}, OPTION_RULES, prefix='model.'
        )
        if init is None:
            if clip_weights is not None:
                network = replace(network, clip_weights=clip_weights)
            model = MirrorDepth.from_config(network)
        else:
            model = load_checkpoint(init, clip_weights=clip_weights, folded=False)
        super().__init__(model.train(), lr=lr, weight_decay=weight_decay, loss=loss)
