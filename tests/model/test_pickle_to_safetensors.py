"""A torch checkpoint becomes safetensors without running anything that it names."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from bimors_cli.errors import BundleError
from bimors_cli.model import pickle_to_safetensors as module
from bimors_cli.model.pickle_to_safetensors import convert, pickle_to_safetensors

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


def converted(content: object, folder: Path, **how: Any) -> dict[str, torch.Tensor]:
    torch.save(content, folder / "source.pt", **how)
    convert(folder / "source.pt", folder / "target.safetensors")
    return load_file(folder / "target.safetensors")


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", None])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_wherever_they_are_kept(
    wrapper: str | None, prefix: str, zipped: bool, tmp_path: Path
) -> None:
    state = {prefix + name: tensor for name, tensor in WEIGHTS.items()}
    content = state if wrapper is None else {wrapper: state, "epoch": 3, "loss": torch.ones(1)}
    found = converted(content, tmp_path, _use_new_zipfile_serialization=zipped)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], WEIGHTS[name]) and found[name].dtype == WEIGHTS[name].dtype for name in found)


def test_what_is_no_tensor_goes_and_shared_ones_are_parted(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    views = {"whole": whole, "same": whole, "part": whole[1:], "turned": whole.T, "p": torch.nn.Parameter(whole[0])}
    found = converted({**views, "name": "clip", "steps": 3, "module.x": torch.ones(1)}, tmp_path)
    assert found.keys() == {*views, "module.x"}  # not every name has the prefix: it is no prefix
    assert all(torch.equal(found[name], tensor) for name, tensor in views.items())
    with safe_open(tmp_path / "target.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_training_loops_checkpoint(tmp_path: Path) -> None:
    """With an optimiser, a schedule that holds the optimiser itself, and a score of numpy's: as Dassl leaves it."""
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    content = {
        "state_dict": model.state_dict(),
        "epoch": 5,
        "optimizer": optimiser.state_dict(),
        "scheduler": {"successor": schedule, "last_epoch": 5},
        "val_result": np.float64(91.5),
    }
    assert converted(content, tmp_path).keys() == {"weight", "bias"}


class Command:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_command_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    for zipped in (True, False):
        with pytest.raises(BundleError, match="which is not a weight"):
            converted({"a": Command(tmp_path / "ran")}, tmp_path, _use_new_zipfile_serialization=zipped)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(BundleError, match=r"source.pt: .*it contains .* which is not a weight") as caught:
        pickle_to_safetensors(tmp_path / "source.pt", tmp_path / "target.safetensors")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "ran").exists() and not (tmp_path / "target.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no more", b"\x80\x02."])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "source.pt").write_bytes(content)
    with pytest.raises(BundleError, match="not a checkpoint"):
        convert(tmp_path / "source.pt", tmp_path / "target.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {}}, "weights", torch.ones(2)])
def test_pickles_without_named_tensors_are_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a checkpoint"):
        converted(content, tmp_path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    converted(WEIGHTS, tmp_path)
    path = tmp_path / "source.pt"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(BundleError, match="not a checkpoint, or damaged"):
        convert(path, tmp_path / "target.safetensors")


def test_the_process_of_its_own(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "source.pt")
    (tmp_path / "torch.py").write_text("raise SystemExit('a stranger')")
    target = tmp_path / "target.safetensors"
    done = subprocess.run(
        [sys.executable, "-P", "-m", module.__name__, "source.pt", str(target)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert load_file(target).keys() == WEIGHTS.keys()
    with pytest.raises(BundleError, match=r"took more than 0.01 s"):
        pickle_to_safetensors(tmp_path / "source.pt", target, timeout_s=0.01)
    assert not target.exists()
    with pytest.raises(BundleError, match="cannot read the file: No such file"):
        pickle_to_safetensors(tmp_path / "none.pt", target)


def test_waiting_needs_no_torch() -> None:
    modules = "'torch' not in sys.modules and 'numpy' not in sys.modules"
    code = f"import sys, bimors_cli.model.pickle_to_safetensors; assert {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_settings_that_lightning_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dict of a class of its own, which is read as nothing."""
    lightning = types.ModuleType("lightning_fabric.utilities.data")
    lightning.AttributeDict = type("AttributeDict", (dict,), {"__module__": lightning.__name__})
    for name in ("lightning_fabric", "lightning_fabric.utilities", lightning.__name__):
        monkeypatch.setitem(sys.modules, name, lightning)
    settings = lightning.AttributeDict(channels=10)
    content = {"state_dict": dict(WEIGHTS), "hyper_parameters": settings, "pytorch-lightning_version": "2.4"}
    assert converted(content, tmp_path).keys() == WEIGHTS.keys()
