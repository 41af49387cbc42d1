"""The shared-prefix path gives what open_clip's own text tower gives on full-length prompts."""

from __future__ import annotations

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU, TextTransformer
from torch.nn import functional

from bimors_cli.errors import BundleError
from bimors_cli.model import text_encoder as text_path
from bimors_cli.model.text_encoder import NameTokens, TextTower

END, CONTEXT_LENGTH, CONTEXT = 49, 77, 4


def tower(dtype: torch.dtype, **options: object) -> TextTransformer:
    torch.manual_seed(1)
    text = TextTransformer(
        context_length=CONTEXT_LENGTH, vocab_size=50, width=32, heads=4, layers=3, output_dim=16, **options
    )
    for parameter in text.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return text.to(dtype).eval()


def names(lengths: list[int]) -> NameTokens:
    generator = torch.Generator().manual_seed(2)
    ids = torch.zeros(len(lengths), max(lengths) + 1, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, END, (length,), generator=generator)
        ids[row, length] = END
    return NameTokens(ids, torch.tensor(lengths))


def full_path(text: TextTransformer, context: torch.Tensor, name_tokens: NameTokens, start: int) -> torch.Tensor:
    """Encode every prompt of every tile in full, one after the other, by open_clip's own modules."""
    tiles = []
    for tile in context:
        rows = []
        for ids in name_tokens.ids:
            tokens = torch.full((CONTEXT_LENGTH,), 0)
            tokens[0] = start
            tokens[1 + CONTEXT : 1 + CONTEXT + len(ids)] = ids
            x = text.token_embedding(tokens)
            x = torch.cat((x[:1], tile, x[1 + CONTEXT :])) + text.positional_embedding
            x = text.transformer(x.unsqueeze(0), attn_mask=text.attn_mask.to(x.dtype))
            pooled = text.ln_final(x)[0, tokens.argmax()] @ text.text_projection
            rows.append(functional.normalize(pooled, dim=-1))
        tiles.append(torch.stack(rows))
    return torch.stack(tiles)


@pytest.mark.parametrize("options", [{}, {"act_layer": QuickGELU}, {"ls_init_value": 0.5}])
@pytest.mark.parametrize("lengths", [[1, 5, 2], [3], [60, 1]])
def test_equals_the_full_length_path(options: dict[str, object], lengths: list[int]) -> None:
    text = tower(torch.float64, **options)
    context = torch.randn(2, CONTEXT, 32, dtype=torch.float64)
    ours = TextTower(text, start_id=7)(context, names(lengths))
    torch.testing.assert_close(ours, full_path(text, context, names(lengths), 7), rtol=0, atol=1e-12)


def test_gradients_equal_those_of_the_full_length_path() -> None:
    text = tower(torch.float64)
    context = torch.randn(2, CONTEXT, 32, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 16, dtype=torch.float64)
    ours = torch.autograd.grad((TextTower(text, 7)(context, names([1, 5, 2])) * weight).sum(), context)[0]
    theirs = torch.autograd.grad((full_path(text, context, names([1, 5, 2]), 7) * weight).sum(), context)[0]
    assert theirs.abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def test_memory_budget_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TextTower(tower(torch.float64), start_id=7)
    context = torch.randn(5, CONTEXT, 32, dtype=torch.float64)
    whole = text(context, names([1, 5, 2, 4]))
    monkeypatch.setitem(text_path.MAX_ACTIVATION_BYTES, "cpu", 1)
    torch.testing.assert_close(text(context, names([1, 5, 2, 4])), whole, rtol=0, atol=1e-13)
    monkeypatch.setattr(text_path, "MAX_SEQUENCE", 6)
    torch.testing.assert_close(text(context, names([1, 5, 2, 4])), whole, rtol=0, atol=1e-13)


def test_whole_clip_of_open_clip() -> None:
    """The words "a photo of a" as context give open_clip's encode_text, with its tokenizer and both CLIP classes."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"width": 32, "heads": 4, "layers": 2},
    }
    tokenize = open_clip.get_tokenizer("ViT-B-16")
    labels = ["storage tanks", "river", "very dense residential area"]
    for kind in (open_clip.CLIP, open_clip.CustomTextCLIP):
        clip = kind(**config).eval()
        ids = tokenize([f"a photo of a {label}." for label in labels])
        embedding = getattr(clip, "text", clip).token_embedding
        suffix = ids[:, 5:]
        text = TextTower(clip, start_id=int(ids[0, 0]))
        with torch.no_grad():
            ours = text(embedding(ids[:1, 1:5]), NameTokens(suffix, suffix.argmax(-1)).part(0, 3))[0]
            torch.testing.assert_close(ours, clip.encode_text(ids, normalize=True), rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{"no_causal_mask": True}, {"embed_cls": True}, {"block_type": "custom"}])
def test_towers_whose_keys_cannot_be_shared_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        TextTower(tower(torch.float32, **options), start_id=7)
