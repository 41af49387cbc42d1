"""Which devices a list names, and whether they are there."""

from __future__ import annotations

import pytest
import torch

from bimors_cli.errors import DeviceError
from bimors_cli.model.device import choose_device
from bimors_cli.options.device_names import device_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("auto", ["auto"]),
        ("cuda:3", ["cuda:3"]),
        ("cuda:0,1,2", ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda,1", ["cuda:0", "cuda:1"]),
        (" cuda:0 , cuda:2,3", ["cuda:0", "cuda:2", "cuda:3"]),
        ("cuda:1,cpu", ["cuda:1", "cpu"]),
        ("cpu,cpu,cpu", ["cpu"] * 3),
    ],
)
def test_a_number_takes_the_kind_before_it(text: str, names: list[str]) -> None:
    assert list(device_names(text)) == names


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cuda:0,0", "cuda:0 is listed twice"),
        ("cuda,cuda:0", "cuda:0 is listed twice"),
        ("cuda:0,00", "cuda:0 is listed twice"),
        ("mps,mps", "mps is listed twice"),
        ("0,1", "number 0 without a kind"),
        ("cpu,1", "number 1 without a kind"),
        ("cuda:0,,1", "an empty name"),
        ("cuda:0,", "an empty name"),
        ("auto,cpu", "auto is not supported in a list"),
    ],
)
def test_lists_that_mean_nothing(text: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        device_names(text)


def test_one_device_is_chosen_where_one_is_meant() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(DeviceError, match="on one device"):
        choose_device("cpu,cpu")
    with pytest.raises(DeviceError, match="CUDA devices"):
        choose_device(f"cuda:{torch.cuda.device_count()}")
