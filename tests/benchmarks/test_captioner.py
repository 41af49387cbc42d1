"""The captioner's benchmark: it runs, and its table is that of the operations which are computed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from bimors_cli.model.t5.decoder import T5Decoder
from bimors_cli.model.t5.search import T5Search
from bimors_cli.pipeline.bundles.benchmark import operations
from tests.benchmarks.captioner import MINI as MINI_FOLDER
from tests.benchmarks.captioner import equal_tokens, load, main
from tests.benchmarks.captioner_costs import MINI, Shapes, generate_step, own_step, total, weights
from tests.model.t5.small import settings, small_t5


@pytest.mark.parametrize("form", ["relu", "gated-gelu"])
def test_operations_are_those_that_are_counted(form: str) -> None:
    model, wanted = small_t5(feed_forward_proj=form), settings(3, 6, shortest=5)
    shapes = Shapes(2, 32, 24, 48, form != "relu", 24, encoded=7, pictures=5, beams=3, steps=6)
    states = torch.randn(5, 7, 32)
    counted = operations(lambda: T5Search(T5Decoder(model), wanted).run(states))
    encoding = 2 * 5 * 7 * 32 * 2 * 24 * 2  # the encoder's keys and values, once
    assert counted - encoding == total([own_step(shapes, step) for step in range(6)]).operations


def test_the_shapes_of_mini_are_those_of_the_file() -> None:
    captioner, _ = load(MINI_FOLDER, torch.device("cpu"), torch.float32)
    model = captioner.model.language_model
    decoder = model.decoder
    linear = [part.weight.numel() for part in decoder.modules() if isinstance(part, torch.nn.Linear)]
    cross = sum(2 * block.layer[1].EncDecAttention.k.weight.numel() for block in decoder.block)
    assert weights(MINI) == sum(linear) - cross + model.lm_head.weight.numel()
    assert captioner.model.config.num_query_tokens + 1 == MINI.encoded


def test_keys_and_values_are_moved_less() -> None:
    for step in range(1, MINI.steps):
        own, official = own_step(MINI, step), generate_step(MINI, step)
        assert own.own_cache < official.own_cache and own.cross_cache * 12 == official.cross_cache
        assert own.weights == official.weights
    one = replace(MINI, beams=1)
    assert own_step(one, 3).operations == generate_step(one, 3).operations


def test_equal_tokens() -> None:
    official = torch.tensor([[5, 6, 1], [5, 1, 1], [4, 4, 4]])
    found = torch.tensor([[5, 6, 1, 1], [5, 7, 1, 1], [4, 4, 4, 2]])
    assert equal_tokens(official, found, 1).tolist() == [True, False, False]


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    main(["--pictures", "4", "--batches", "2", "--rounds", "1", "--threads", str(threads)])
    found = json.loads(capsys.readouterr().out)
    assert found["agreement"]["equal"] == 1
    assert found["2"]["ratio"] > 0 and len(found["2"]["ratios"]) == 1
