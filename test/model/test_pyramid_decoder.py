"""The decoder for convolutional towers, alone and in the network."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import load_checkpoint, save_checkpoint
from mirror_depth_ros.model.clip import FrozenTextEncoder
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.model.pyramid_decoder import PyramidDecoder, Standardisation, level_widths
from mirror_depth_ros.training.depth_training import DepthTraining
from mirror_depth_ros.training.feature_cache import EncodedPicture
from mirror_depth_ros.training.pictures import Picture

CHANNELS, STRIDES = (3, 5, 7), (4, 8, 16)
VISION = {'layers': (1, 1, 1, 1), 'width': 8, 'image_size': 64}
TEXT = {'width': 16, 'heads': 2, 'layers': 1, 'context_length': 8, 'vocab_size': 20}


def make_decoder(*, every: bool = True) -> PyramidDecoder:
    torch.manual_seed(1)
    return PyramidDecoder(
        channels=CHANNELS,
        strides=STRIDES,
        width=16,
        film_every_tap=every,
        blocks_per_tap=1,
        trained_grid=(2, 3),
        outputs=2,
    )


def make_taps(rows: int = 2, columns: int = 3) -> list[torch.Tensor]:
    """Deepest first, as the decoder takes them."""
    scales = zip(reversed(CHANNELS), (1, 2, 4), strict=True)
    return [torch.randn(2, c, rows * s, columns * s) for c, s in scales]


def make_network(clip: str = 'tiny', model: open_clip.CLIP | None = None) -> MirrorDepth:
    torch.manual_seed(2)
    model = open_clip.CLIP(8, VISION, TEXT).eval() if model is None else model
    config = MirrorDepthConfig(
        clip=clip,
        taps=(1, 2, 3, 4),
        mirror_tokens=4,
        width=16,
        film='every',
        position='fourier',
        output='log',
        confidence=True,
        input_size=(64, 96),
        reference_focal_px=70.0,
    )
    return MirrorDepth(config, FrozenConvEncoder(model, config.taps), FrozenTextEncoder(model))


def test_widths_shrink_as_the_resolution_grows() -> None:
    assert level_widths(160, 4) == [160, 120, 80, 40]
    assert level_widths(16, 2) == [16, 12]
    assert level_widths(64, 6) == [64, 48, 32, 16, 16, 16]


@pytest.mark.parametrize(('rows', 'columns'), [(2, 3), (5, 1)])
def test_every_pixel_gets_its_numbers(rows: int, columns: int) -> None:
    decoder = make_decoder()
    scale, shift = torch.ones(decoder.film_width), torch.zeros(decoder.film_width)
    out = decoder(make_taps(rows, columns), scale, shift, (rows, columns))
    assert out.shape == (2, 2, 16 * rows, 16 * columns)


@pytest.mark.parametrize(('every', 'width'), [(True, 16 + 12 + 8), (False, 16)])
def test_the_condition_reaches_every_level_that_it_should(every: bool, width: int) -> None:
    decoder = make_decoder(every=every)
    assert decoder.film_width == width
    taps = make_taps()
    ones, zeros = torch.ones(width), torch.zeros(width)
    plain = decoder(taps, ones, zeros, (2, 3))
    for number in range(width):
        shift = zeros.clone()
        shift[number] = 3.0
        assert not torch.equal(decoder(taps, ones, shift, (2, 3)), plain), number


def test_taps_are_standardised_by_what_was_measured_first() -> None:
    decoder = make_decoder()
    taps = [100 + 7 * tap for tap in make_taps()]
    decoder.measure(taps)
    standardise = decoder.standardisations[0]
    assert isinstance(standardise, Standardisation)
    out = standardise(taps[0])
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(7), atol=1e-4, rtol=0)
    deviation = out.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(7), atol=1e-3, rtol=0)
    decoder.measure([10 * tap for tap in taps])  # it stays
    torch.testing.assert_close(standardise(taps[0]), out)
    other = make_decoder()
    other.load_state_dict(decoder.state_dict())  # and is saved with the weights
    torch.testing.assert_close(other.standardisations[0](taps[0]), out)


def test_one_number_a_channel_is_no_spread() -> None:
    standardise = Standardisation(2)
    standardise.measure(torch.tensor([[[[3.0]], [[-4.0]]]]))
    out = standardise(torch.tensor([[[[3.0]], [[-3.0]]]]))
    assert out.flatten().tolist() == pytest.approx([0.0, 1000.0])  # deviations are 1e-3 at least


def test_refuses_strides_that_do_not_double() -> None:
    with pytest.raises(ValueError, match=r'strides \(4, 16\), expected each twice the one before'):
        PyramidDecoder(
            channels=(3, 5),
            strides=(4, 16),
            width=16,
            film_every_tap=True,
            blocks_per_tap=1,
            trained_grid=None,
            outputs=1,
        )


def test_one_step_trains_mirror_and_decoder_alone() -> None:
    network = make_network().train()
    frozen = {n: p.clone() for n, p in network.named_parameters() if not p.requires_grad}
    trained = {n: p.clone() for n, p in network.named_parameters() if p.requires_grad}
    assert all(n.startswith(('mirror.', 'film.', 'decoder.')) for n in trained)
    assert all(n.startswith(('image_encoder.', 'text_encoder.')) for n in frozen)
    training = DepthTraining(network, lr=1e-2, weight_decay=0.0, loss='log_l1', gradient_weight=1)
    training.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 1e-2)
    image = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    batch = Picture(image, torch.full((2, 1, 64, 96), 3.0), torch.tensor([70.0, 90.0]))
    for _ in range(2):  # each block's last layer starts at zero, and blocks the others
        training.training_step(batch, 0).backward()
        optimizer.step()
    now = dict(network.named_parameters())
    assert all(torch.equal(now[n], p) for n, p in frozen.items())
    assert not torch.equal(now['mirror.embeddings'], trained['mirror.embeddings'])
    idle = [n for n in trained if now[n].grad is None or not bool(now[n].grad.any())]
    assert idle == []


def test_features_that_were_kept_give_the_same_depth() -> None:
    network = make_network().eval()
    training = DepthTraining(network, lr=1e-2, weight_decay=0.0)
    image = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    depth, focal_px = torch.ones(2, 1, 64, 96), torch.tensor([70.0, 70.0])
    with torch.no_grad():
        taps = network.image_encoder(image / 255.0)
        features = torch.cat([tap.flatten(1) for tap in taps], dim=1)
        kept = training.canonical(EncodedPicture(features, depth, focal_px))
        torch.testing.assert_close(kept, training.canonical(Picture(image, depth, focal_px)))


def test_folded_and_unfolded_say_the_same_of_depth_and_doubt() -> None:
    network = make_network().eval()
    images, focal_px = torch.rand(2, 3, 64, 96), torch.tensor([70.0, 140.0])
    with torch.no_grad():
        depth = network(images, focal_px)
        taps = network.image_encoder(images)
        _, doubt = network.predict(taps, (2, 3))
        network.fold()
        _, folded_doubt = network.predict(taps, (2, 3))
        torch.testing.assert_close(network(images, focal_px), depth, atol=1e-5, rtol=1e-5)
    assert depth.shape == (2, 1, 64, 96)
    assert doubt is not None
    assert folded_doubt is not None
    torch.testing.assert_close(folded_doubt, doubt, atol=1e-5, rtol=1e-5)
    assert doubt.shape == (2, 1, 64, 96)


def test_doubt_is_asked_for_with_the_depth() -> None:
    network = make_network().eval()
    images, focal_px = torch.rand(2, 3, 64, 96), torch.tensor([70.0, 140.0])
    with torch.no_grad():
        depth, log_scale = network.compute(['depth', 'log_scale'], images, focal_px)
        torch.testing.assert_close(depth, network(images, focal_px))
        _, expected = network.predict(network.image_encoder(images), (2, 3))
    torch.testing.assert_close(log_scale, expected)  # a share: no focal length scales it


def test_a_checkpoint_comes_back_and_estimates(tmp_path: Path) -> None:
    folder = tmp_path / 'clip'
    folder.mkdir()
    config = {'embed_dim': 8, 'vision_cfg': VISION, 'text_cfg': TEXT}
    (folder / 'open_clip_config.json').write_text(json.dumps({'model_cfg': config}))
    torch.manual_seed(3)
    clip = open_clip.CLIP(8, VISION, TEXT).eval()
    save_file(clip.state_dict(), folder / 'open_clip_model.safetensors')
    network = make_network(f'local-dir:{folder}', clip).eval()
    images, focal_px = torch.rand(1, 3, 64, 96), torch.tensor([70.0])
    with torch.no_grad():
        expected = network(images, focal_px)
    file = tmp_path / 'model.safetensors'
    save_checkpoint(network, file)
    with torch.no_grad():
        torch.testing.assert_close(load_checkpoint(file)(images, focal_px), expected)
    estimator = DepthEstimator.load(file, device='cpu', backend='torch')
    assert estimator.precision == 'fp32'
    assert estimator.input_size(480, 640) == (64, 96)
    rgb = torch.randint(0, 256, (47, 81, 3), dtype=torch.uint8).numpy()
    depth = estimator.estimate(rgb, 60.0)
    assert depth.shape == (47, 81)
    assert bool((depth > 0).all())


def test_a_network_without_doubt_says_none() -> None:
    network = make_network().eval()
    plain = MirrorDepthConfig.from_dict({**network.config.to_dict(), 'confidence': False})
    other = MirrorDepth(plain, network.image_encoder, network.text_encoder).eval()
    assert other.predict(network.image_encoder(torch.rand(1, 3, 64, 96)), (2, 3))[1] is None
    assert (network.has_confidence, other.has_confidence) == (True, False)
    with pytest.raises(ValueError, match='got a network without log_scale, expected one that'):
        other.compute(['depth', 'log_scale'], torch.rand(1, 3, 64, 96), torch.ones(1))
