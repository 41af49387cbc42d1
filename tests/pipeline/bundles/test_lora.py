"""A LoRA merged into the weights of its base: the model that peft would make of both; half a LoRA is an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bimors_cli.errors import BundleError
from bimors_cli.model.captioner import Captioner
from bimors_cli.pipeline.bundles.lora import CONFIG, WEIGHTS, Lora, check_base, merge_lora, read_lora
from tests.bundles import make_bundle
from tests.published_layouts.captioners import LORA_SETTINGS

Tensors = dict[str, torch.Tensor]


def write_lora(folder: Path, base: Path, *, rank: int = 4, alpha: float = 8.0, **config: Any) -> Tensors:
    """Write a random LoRA of the vision tower of a tiny BLIP-2, in peft's layout; return its tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(2)
    tensors: Tensors = {}
    for name, weight in load_file(base).items():
        module = name.removesuffix(".weight")
        if name.endswith((".self_attn.qkv.weight", ".self_attn.projection.weight")):
            stem = f"base_model.model.{module}"
            tensors[f"{stem}.lora_A.weight"] = torch.randn(rank, weight.shape[1], generator=random)
            tensors[f"{stem}.lora_B.weight"] = torch.randn(weight.shape[0], rank, generator=random)
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({**LORA_SETTINGS, "r": rank, "lora_alpha": alpha, **config}))
    return tensors


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("lora") / "tiny").part("captioner") / "model.safetensors"


def test_the_merged_model_is_the_base_with_its_lora(base: Path, tmp_path: Path) -> None:
    """Held to another computation: each corrected layer of the base, and A and B as two layers next to it."""
    tensors = write_lora(tmp_path / "lora", base)
    for file in base.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert merge_lora({base: tmp_path / base.name}, read_lora(tmp_path / "lora")) == ()
    merged, plain = Captioner.load(tmp_path), Captioner.load(base.parent)
    for name, layer in plain.model.vision_model.named_modules():
        if name.endswith(("self_attn.qkv", "self_attn.projection")):
            stem = f"base_model.model.vision_model.{name}"
            a, b = tensors[f"{stem}.lora_A.weight"], tensors[f"{stem}.lora_B.weight"]
            # alpha / r is 2
            layer.register_forward_hook(lambda _, inputs, out, a=a, b=b: out + 2 * (inputs[0] @ a.T @ b.T))
    pictures = torch.rand(2, 3, 32, 32)
    expected = plain.model.vision_model(pictures).last_hidden_state
    torch.testing.assert_close(merged.model.vision_model(pictures).last_hidden_state, expected, rtol=1e-4, atol=1e-4)
    # It does something.
    unmerged = Captioner.load(base.parent).model.vision_model(pictures).last_hidden_state
    assert (unmerged - expected).abs().max() > 0.1


def test_other_tensors_and_metadata_stay(base: Path, tmp_path: Path) -> None:
    write_lora(tmp_path / "lora", base)
    merge_lora({base: tmp_path / "merged.safetensors"}, read_lora(tmp_path / "lora"))
    before, after = load_file(base), load_file(tmp_path / "merged.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        name for name in before if name.endswith(("self_attn.qkv.weight", "self_attn.projection.weight"))
    }
    assert len(changed) == 4
    header = int.from_bytes(base.read_bytes()[:8], "little") + 8
    assert base.read_bytes()[:header] == (tmp_path / "merged.safetensors").read_bytes()[:header]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    rank=st.integers(1, 12),
    alpha=st.floats(0.5, 64),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_any_shape_and_dtype(
    rows: int, columns: int, rank: int, alpha: float, dtype: torch.dtype, seed: int, tmp_path: Path
) -> None:
    torch.manual_seed(seed)
    weight, a, b = torch.randn(rows, columns).to(dtype), torch.randn(rank, columns), torch.randn(rows, rank)
    save_file({"x.qkv.weight": weight, "other": torch.arange(5)}, tmp_path / "base.safetensors")
    lora = Lora(tmp_path, None, alpha / rank, ("qkv",), {"x.qkv": (a, b)})
    merge_lora({tmp_path / "base.safetensors": tmp_path / "merged.safetensors"}, lora)
    merged = load_file(tmp_path / "merged.safetensors")
    exact = weight.double() + alpha / rank * (b.double() @ a.double())
    rounding = torch.finfo(dtype).eps if dtype != torch.float64 else torch.finfo(torch.float32).eps
    torch.testing.assert_close(merged["x.qkv.weight"].double(), exact, rtol=2 * rounding, atol=1e-4)
    assert merged["x.qkv.weight"].dtype == dtype and torch.equal(merged["other"], torch.arange(5))


def test_shards_without_a_corrected_weight_are_not_written(base: Path, tmp_path: Path) -> None:
    write_lora(tmp_path / "lora", base)
    whole = load_file(base)
    parts = {name: {} for name in ("vision.safetensors", "rest.safetensors")}
    for name, tensor in whole.items():
        parts["vision.safetensors" if name.startswith("vision_model.") else "rest.safetensors"][name] = tensor
    for name, tensors in parts.items():
        save_file(tensors, tmp_path / name)
    files = {tmp_path / name: tmp_path / "new" / name for name in parts}
    (tmp_path / "new").mkdir()
    assert merge_lora(files, read_lora(tmp_path / "lora")) == (tmp_path / "rest.safetensors",)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["vision.safetensors"]


def rename(tensors: Tensors, old: str, new: str) -> Tensors:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def without(tensors: Tensors, part: str) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if part not in name}


LAYER = "vision_model.encoder.layers.1.self_attn.qkv"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: without(t, f"{LAYER}.lora_B"), f"half a LoRA: {LAYER} has lora_A but no lora_B"),
        (lambda t: without(t, f"{LAYER}.lora_A"), f"half a LoRA: {LAYER} has lora_B but no lora_A"),
        (lambda t: without(t, LAYER), f"half a LoRA: no tensors for {LAYER} of the base"),
        (lambda t: without(t, "projection"), "half a LoRA: no tensors of the target self_attn.projection"),
        (lambda t: rename(t, "layers.1.", "layers.7."), "layers.7.self_attn.projection.weight is not in the base"),
        (lambda t: rename(t, "qkv", "query"), "no tensors of the target self_attn.qkv"),
        (lambda t: t | {"base_model.model.x.lora_magnitude_vector": torch.ones(3)}, "unexpected tensor base_model"),
        (
            lambda t: {n: x[:3] if "lora_A" in n else x[:, :3] for n, x in t.items()},
            "the rank in adapter_config.json is 4",
        ),
        (lambda t: {n: x[:, :8] if "lora_A" in n else x for n, x in t.items()}, r"corrects a weight of \(\d+, 8\)"),
        (lambda t: {n: x[None] for n, x in t.items()}, "is not a linear layer"),
        (lambda t: {n: x * torch.nan for n, x in t.items()}, "not finite"),
    ],
)
def test_half_a_lora(change: Callable[[Tensors], Tensors], said: str, base: Path, tmp_path: Path) -> None:
    tensors = write_lora(tmp_path, base)
    save_file({name: tensor.contiguous() for name, tensor in change(tensors).items()}, tmp_path / WEIGHTS)
    with pytest.raises(BundleError, match=said) as error:
        merge_lora({base: tmp_path / "merged.safetensors"}, read_lora(tmp_path))
    assert "\n" not in error.value.message and error.value.hint
    assert not (tmp_path / "merged.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"r": 8}, "the rank in adapter_config.json is 8"),
        ({"r": 0}, "must be numbers"),
        ({"lora_alpha": None}, "must be numbers"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"target_modules": "all-linear"}, "must be a list"),
        ({"target_modules": ["self_attn.qkv"]}, "is not among the targets"),
        ({"target_modules": ["self_attn.qkv", "self_attn.projection", "fc1"]}, "no tensors of the target fc1"),
        ({"use_dora": True}, "use_dora True is not supported"),
        ({"use_rslora": True}, "use_rslora"),
        ({"bias": "lora_only"}, "bias 'lora_only' is not supported"),
        ({"rank_pattern": {"qkv": 2}}, "rank_pattern"),
    ],
)
def test_another_adapter(change: dict[str, Any], said: str, base: Path, tmp_path: Path) -> None:
    write_lora(tmp_path, base)
    (tmp_path / CONFIG).write_text(json.dumps({**json.loads((tmp_path / CONFIG).read_text()), **change}))
    with pytest.raises(BundleError, match=said):
        read_lora(tmp_path)


def test_another_base(base: Path, tmp_path: Path) -> None:
    write_lora(tmp_path, base)
    check_base(read_lora(tmp_path), "Salesforce/blip2-opt-6.7b")
    with pytest.raises(BundleError, match=r"a LoRA of Salesforce/blip2-opt-6.7b, not of Salesforce/blip2-flan-t5-xl"):
        check_base(read_lora(tmp_path), "Salesforce/blip2-flan-t5-xl")


def test_a_pickle_is_converted_first(base: Path, tmp_path: Path) -> None:
    write_lora(tmp_path, base)
    (tmp_path / WEIGHTS).rename(tmp_path / "adapter_model.bin")
    with pytest.raises(BundleError, match="missing") as error:
        read_lora(tmp_path)
    assert "python -m bimors_cli.model.pickle_to_safetensors" in str(error.value.hint)
