"""The search against `generate` of transformers: the same tokens, whatever the settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from bimors_cli.model.t5.beams import read_captions
from bimors_cli.model.t5.decoder import T5Decoder
from bimors_cli.model.t5.search import T5Search
from bimors_cli.model.t5.settings import BeamSettings
from tests.benchmarks.captioner import equal_tokens
from tests.model.t5.small import generated, small_t5
from tests.model.t5.small import settings as beam_settings


def found(model: Any, inputs: torch.Tensor, wanted: BeamSettings) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Tokens, scores and the number of steps of the search."""
    decoder = T5Decoder(model)
    with torch.inference_mode():
        steps = T5Search(decoder, wanted).run(model.encoder(inputs_embeds=inputs).last_hidden_state)
    return read_captions(steps, wanted, decoder.words), steps[-1].finished[:, 0], len(steps)


def check_equal(model: Any, inputs: torch.Tensor, wanted: BeamSettings) -> torch.Tensor:
    official = generated(model, inputs, wanted)
    tokens, scores, _ = found(model, inputs, wanted)
    expected = official.sequences[:, 1:]
    width = max(expected.shape[1], tokens.shape[1])
    expected = pad(expected, (0, width - expected.shape[1]), value=wanted.fill)
    # A greedy search of transformers fills with the model's padding; the end token is the end in both.
    if wanted.beams == 1:
        after = (expected == wanted.ends[0]).cumsum(1) > 0
        expected = torch.where(after, wanted.fill, expected)
    else:
        torch.testing.assert_close(scores, official.sequences_scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pad(tokens, (0, width - tokens.shape[1]), value=wanted.fill), expected)
    return tokens


@given(
    seed=st.integers(0, 10_000),
    pictures=st.integers(1, 6),
    beams=st.integers(1, 5),
    steps=st.integers(1, 11),
    shortest=st.integers(0, 4),
    length_penalty=st.sampled_from([-1.0, 0.0, 0.6, 1.0, 2.0]),
    early_stopping=st.sampled_from([True, False, "never"]),
    form=st.sampled_from(["relu", "gated-gelu", "gated-silu"]),
    tied=st.booleans(),
)
@settings(max_examples=60)
def test_tokens_are_those_of_generate(
    seed: int,
    pictures: int,
    beams: int,
    steps: int,
    shortest: int,
    length_penalty: float,
    early_stopping: bool | str,
    form: str,
    tied: bool,
) -> None:
    model = small_t5(seed, feed_forward_proj=form, tie_word_embeddings=tied)
    inputs = 5 * torch.randn(pictures, 6, 32)
    early_stopping = early_stopping if beams > 1 else True
    check_equal(
        model,
        inputs,
        beam_settings(
            beams,
            steps,
            shortest=min(shortest, steps - 1),
            length_penalty=length_penalty,
            early_stopping=early_stopping,
        ),
    )


@pytest.mark.parametrize("seed", range(3))
def test_two_end_tokens(seed: int) -> None:
    inputs = 5 * torch.randn(16, 6, 32, generator=torch.Generator().manual_seed(seed))
    check_equal(small_t5(seed), inputs, beam_settings(ends=(1, 7)))


def test_captions_end_at_different_lengths_and_the_search_with_the_last() -> None:
    model, inputs, wanted = small_t5(1), 5 * torch.randn(64, 6, 32), beam_settings(4, 12)
    tokens = check_equal(model, inputs, wanted)
    lengths = (tokens != 1).sum(1)
    assert len(lengths.unique()) >= 4
    short = int(lengths.argmin())
    alone, _, steps = found(model, inputs[short].expand(3, -1, -1), wanted)
    assert steps < 12
    assert torch.equal(alone[:, : lengths[short]], tokens[short, : lengths[short]].expand(3, -1))


def test_many_steps_use_all_distances() -> None:
    """Relative positions have buckets of several distances from 16 on."""
    inputs = 5 * torch.randn(3, 6, 32, generator=torch.Generator().manual_seed(0))
    check_equal(small_t5(4), inputs, beam_settings(3, 40, shortest=39))


def test_a_picture_has_its_caption_in_any_batch() -> None:
    model, wanted = small_t5(2), beam_settings()
    inputs = 5 * torch.randn(9, 6, 32, generator=torch.Generator().manual_seed(1))
    whole, scores, _ = found(model, inputs, wanted)
    for order in (torch.arange(9).flip(0), torch.tensor([4]), torch.tensor([2, 2, 8])):
        tokens, part, _ = found(model, inputs[order], wanted)
        torch.testing.assert_close(part, scores[order])
        width = min(tokens.shape[1], whole.shape[1])
        assert torch.equal(tokens[:, :width], whole[order][:, :width])
        assert (tokens[:, width:] == 1).all() and (whole[order][:, width:] == 1).all()


def test_bfloat16_differs_by_rounding_only() -> None:
    """Captions are nearer to those that generate has in bfloat16 than these are to those in float32, and as good."""
    wanted = beam_settings(4, 8)
    equal, rounded, own_error, error = [], [], [], []
    for seed in range(4):
        model = small_t5(seed, feed_forward_proj="gated-gelu", d_model=64, num_heads=4, d_kv=16)
        inputs = torch.randn(128, 6, 64).to(torch.bfloat16)
        exact = generated(model, inputs.float(), wanted)
        model = model.to(torch.bfloat16)
        official = generated(model, inputs, wanted)
        tokens, scores, _ = found(model, inputs, wanted)
        equal.append(equal_tokens(official.sequences[:, 1:], tokens, wanted.fill))
        rounded.append(equal_tokens(official.sequences[:, 1:], exact.sequences[:, 1:], wanted.fill))
        own_error.append((scores - exact.sequences_scores).abs())
        error.append((official.sequences_scores - exact.sequences_scores).abs())
    share = torch.cat(equal).float().mean()
    assert share > 0.95 and share >= torch.cat(rounded).float().mean()
    assert torch.cat(own_error).mean() < 1.2 * torch.cat(error).mean()
