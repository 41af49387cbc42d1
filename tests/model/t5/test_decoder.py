"""The decoder against that of transformers, and its weights, which are those of the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import T5Config

from bimors_cli.model.t5.attention import attend
from bimors_cli.model.t5.decoder import T5Decoder
from tests.model.t5.small import small_t5


@pytest.mark.parametrize("form", ["relu", "gated-gelu"])
def test_logits_of_a_sentence(form: str) -> None:
    model = small_t5(feed_forward_proj=form, tie_word_embeddings=form == "relu")
    states, tokens = torch.randn(3, 5, 32), torch.randint(2, 24, (3, 6))
    expected = model(encoder_outputs=(states,), decoder_input_ids=tokens).logits
    decoder = T5Decoder(model)
    caches = decoder.new_caches(3, 1, 6, 5)
    decoder.encode(states, caches)
    for step, distances in enumerate(decoder.distances(6, 1)):
        bias = distances[None, :, None].expand(3, -1, -1, -1)
        logits = decoder.step(tokens[:, step : step + 1], bias, caches, step)
        torch.testing.assert_close(logits[:, 0], expected[:, step], rtol=1e-4, atol=1e-5)


def test_weights_are_in_memory_once_and_the_model_works_as_before() -> None:
    model = small_t5(feed_forward_proj="gated-gelu")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    decoder = T5Decoder(model)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    for block, layer in zip(model.decoder.block, decoder._layers, strict=True):
        own, cross, wide = block.layer
        parts = {
            layer.queries_keys_values: [own.SelfAttention.q, own.SelfAttention.k, own.SelfAttention.v],
            layer.cross_keys_values: [cross.EncDecAttention.k, cross.EncDecAttention.v],
            layer.feed_forward._inner: [wide.DenseReluDense.wi_0, wide.DenseReluDense.wi_1],
        }
        for fused, linears in parts.items():
            memory = fused.untyped_storage().data_ptr()
            assert all(linear.weight.untyped_storage().data_ptr() == memory for linear in linears)
            assert fused.untyped_storage().nbytes() == 4 * sum(linear.weight.numel() for linear in linears)


@pytest.mark.parametrize("biased", [True, False])
def test_both_kinds_of_attention(biased: bool) -> None:
    queries, keys, values = (torch.randn(2, 3, n, 8, dtype=torch.bfloat16) for n in (4, 9, 9))
    bias = torch.randn(2, 3, 4, 9, dtype=torch.bfloat16) if biased else None
    if bias is not None:
        bias[:, :, :, 5] = -torch.inf
    rounded = attend(queries, keys, values, bias)
    exact = attend(queries.float(), keys.float(), values.float(), None if bias is None else bias.float())
    assert rounded.shape == (8, 24)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.02, atol=0.02)


def test_a_model_without_scaled_outputs_is_not_scaled() -> None:
    def scaled(**changes: Any) -> bool:
        return T5Decoder(small_t5(**changes))._scale is not None

    assert scaled(tie_word_embeddings=True) == T5Config(tie_word_embeddings=True).scale_decoder_outputs
    assert scaled(tie_word_embeddings=False) == T5Config(tie_word_embeddings=False).scale_decoder_outputs
