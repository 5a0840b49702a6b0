"""The frozen CLIP against open_clip's own forward passes, its self-attention against PyTorch's."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from torch import nn

from mirror_depth_ros.model.clip import FrozenImageEncoder, FrozenTextEncoder, SelfAttention
from mirror_depth_ros.model.clip_loading import load_clip


def test_taps_equal_open_clips_intermediates(tiny_clip: str) -> None:
    clip = load_clip(tiny_clip).eval()
    images = torch.rand(2, 3, 48, 64)
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    normalised = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    expected = clip.visual.forward_intermediates(
        normalised, indices=[0, 2], intermediates_only=True, output_fmt='NLC'
    )['image_intermediates']
    taps = FrozenImageEncoder(clip, (0, 2))(images)
    assert [tuple(tap.shape) for tap in taps] == [(2, 12, 32)] * 2  # 3 x 4 patches
    for tap, want in zip(taps, expected, strict=True):
        torch.testing.assert_close(tap, want, atol=1e-5, rtol=1e-5)


def test_text_from_embeddings_equals_encode_text(tiny_clip: str) -> None:
    clip = load_clip(tiny_clip).eval()
    # CLIP pools where the highest id stands: at the end here, as the mirror is pooled.
    tokens = torch.tensor([[38, 4, 7, 11, 2, 9, 1, 3, 5, 39]])
    feature = FrozenTextEncoder(clip)(clip.token_embedding(tokens)[0])
    torch.testing.assert_close(feature, clip.encode_text(tokens)[0], atol=1e-5, rtol=1e-5)


def test_short_sequences_pool_their_own_end(tiny_clip: str) -> None:
    clip = load_clip(tiny_clip).eval()
    tokens = torch.tensor([[38, 4, 7, 39, 0, 0, 0, 0, 0, 0]])
    feature = FrozenTextEncoder(clip)(clip.token_embedding(tokens)[0, :4])
    torch.testing.assert_close(feature, clip.encode_text(tokens)[0], atol=1e-5, rtol=1e-5)


def test_blocks_after_the_last_tap_are_dropped(tiny_clip: str) -> None:
    assert len(FrozenImageEncoder(load_clip(tiny_clip), (0, 1)).blocks) == 2


def test_positional_table_keeps_class_row_and_adapts_the_grid(tiny_clip: str) -> None:
    encoder = FrozenImageEncoder(load_clip(tiny_clip), (1,))
    assert encoder.positional_table(3, 4) is encoder.positional_embedding
    table = encoder.positional_table(5, 2)
    assert table.shape == (11, 32)
    torch.testing.assert_close(table[0], encoder.positional_embedding[0])
    # A table without spatial variation stays what it is on every grid.
    encoder.positional_embedding[1:] = 0.25
    torch.testing.assert_close(encoder.positional_table(7, 3)[1:], torch.full((21, 32), 0.25))


def test_stays_frozen_and_in_evaluation_mode(tiny_clip: str) -> None:
    clip = load_clip(tiny_clip)
    network = torch.nn.ModuleList(
        [FrozenImageEncoder(clip, (1,)), FrozenTextEncoder(clip)]
    ).train()
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.modules() if module is not network)


@pytest.mark.parametrize('taps', [(), (2, 1), (0, 0), (-1,), (3,)])
def test_refuses_impossible_taps(tiny_clip: str, taps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='expected ascending block numbers between 0 and 2'):
        FrozenImageEncoder(load_clip(tiny_clip), taps)


def test_refuses_other_image_towers() -> None:
    clip = open_clip.CLIP(8, {'layers': (1, 1, 1, 1), 'width': 8, 'image_size': 32}, {'layers': 1})
    with pytest.raises(ValueError, match='ModifiedResNet, expected a native open_clip ViT'):
        FrozenImageEncoder(clip, (0,))


def test_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got CLIP 'ViT-Z', expected an open_clip model name"):
        load_clip('ViT-Z')
    with pytest.raises(FileNotFoundError, match='expected an existing file or a tag of'):
        load_clip('ViT-B-16', 'no_such_file.safetensors')
    pickled = tmp_path / 'weights.pt'
    pickled.touch()
    with pytest.raises(ValueError, match='expected a .safetensors file, as no pickle is read'):
        load_clip('ViT-B-16', str(pickled))
    with pytest.raises(FileNotFoundError, match='expected open_clip_config.json'):
        load_clip(f'local-dir:{tmp_path}')


def test_a_tag_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError('no network')

    monkeypatch.setattr(open_clip.factory, 'download_pretrained', fail)
    message = "got CLIP weights 'openai' for ViT-B-16-quickgelu, which cannot be loaded .*no netw"
    with pytest.raises(ValueError, match=f'{message}.*; give a .safetensors file as clip_weights'):
        load_clip('ViT-B-16-quickgelu', 'openai')


def test_refuses_weights_of_another_model(tiny_clip: str, tmp_path: Path) -> None:
    folder = Path(tiny_clip.removeprefix('local-dir:'))
    config = (folder / 'open_clip_config.json').read_text()
    (tmp_path / 'open_clip_config.json').write_text(config.replace('"width": 32', '"width": 48'))
    weights = (folder / 'open_clip_model.safetensors').read_bytes()
    (tmp_path / 'open_clip_model.safetensors').write_bytes(weights)
    with pytest.raises(ValueError, match='weights that do not fit'):
        load_clip(f'local-dir:{tmp_path}')


def test_fingerprint_does_not_see_the_sign_of_zero(tiny_clip: str) -> None:
    encoder = FrozenImageEncoder(load_clip(tiny_clip), (0, 2))
    with torch.no_grad():
        encoder.class_embedding.zero_()
        before = encoder.fingerprint()
        encoder.class_embedding.neg_()  # -0, as averages of weights turn into 0
    assert encoder.fingerprint() == before


def test_fingerprint_tells_weights_apart(tiny_clip: str) -> None:
    first, second = (FrozenImageEncoder(load_clip(tiny_clip), (1,)) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    second.class_embedding[0] += 1e-3
    assert first.fingerprint() != second.fingerprint()


@pytest.fixture
def attention() -> nn.MultiheadAttention:
    torch.manual_seed(3)
    attention = nn.MultiheadAttention(15, 3, batch_first=True).eval()
    nn.init.normal_(attention.in_proj_bias)  # zero at first
    return attention


def test_equals_pytorchs(attention: nn.MultiheadAttention) -> None:
    x = torch.randn(4, 7, 15)
    expected = attention(x, x, x, need_weights=False)[0]
    torch.testing.assert_close(SelfAttention(attention)(x, x, x)[0], expected)


def test_a_mask_is_added_to_the_logits(attention: nn.MultiheadAttention) -> None:
    x = torch.randn(2, 7, 15)
    mask = torch.full((7, 7), float('-inf')).triu(1)
    expected = attention(x, x, x, need_weights=False, attn_mask=mask)[0]
    taken = SelfAttention(attention)(x, x, x, need_weights=False, attn_mask=mask)[0]
    torch.testing.assert_close(taken, expected)
    assert not torch.allclose(taken, SelfAttention(attention)(x, x, x)[0])


@pytest.mark.parametrize('n_tokens', [255, 256, 301, 1024, 1025])
def test_in_bf16_products_equal_the_fused_attention(n_tokens: int) -> None:
    torch.manual_seed(4)
    attention = SelfAttention(nn.MultiheadAttention(24, 3, batch_first=True)).eval()
    x = torch.randn(2, n_tokens, 24)
    with torch.inference_mode():
        expected = attention(x, x, x)[0]
        taken = attention.bfloat16()(*[x.bfloat16()] * 3)[0]
        with torch.autocast('cpu', torch.bfloat16):
            cast = attention(x, x, x)[0]
    assert taken.dtype == cast.dtype == torch.bfloat16
    for found in (taken, cast):
        torch.testing.assert_close(found.float(), expected, atol=6e-3, rtol=0.05)


def test_parameters_are_shared_under_their_names(attention: nn.MultiheadAttention) -> None:
    before = dict(attention.named_parameters())
    after = dict(SelfAttention(attention).named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_a_frozen_one_does_not_multiply_each_position_by_itself(
    attention: nn.MultiheadAttention,
) -> None:
    attention.requires_grad_(False)
    x = torch.randn(4, 7, 15)

    def products(module: nn.Module) -> set[str]:
        with torch.inference_mode(), torch.profiler.profile() as profile:
            module(x, x, x, need_weights=False)
        return {event.key for event in profile.key_averages()} & {'aten::addmm', 'aten::bmm'}

    assert 'aten::bmm' in products(attention)  # once that is over, so may be SelfAttention
    assert products(SelfAttention(attention)) == {'aten::addmm'}
