"""Parsing ``--device``; `bimors_cli.model.device` checks whether the devices exist."""

from __future__ import annotations

import re

from bimors_cli.errors import DeviceError

_ONE = re.compile(r"auto|(cpu|cuda|mps)(:[0-9]+)?")
_HINT = "name each device once: cuda:0,1,2,3"


def device_names(text: str) -> tuple[str, ...]:
    """Return the devices of ``--device``: a single name unchanged, or those of a comma-separated list.

    In a list, a number alone is a device of the preceding kind: ``cuda:0,1`` is ``cuda:0,cuda:1``. Only ``cpu`` may be
    repeated, once for each process.

    Raises
    ------
    DeviceError
        The name is unknown; or the list has an empty name, a number without a kind of device, ``auto``, or a duplicate.
    """
    if "," not in text:
        if not _ONE.fullmatch(text):
            raise DeviceError(f"--device {text}: unknown device", "use auto, cpu, cuda, cuda:0 or mps")
        return (text,)
    names: list[str] = []
    for part in map(str.strip, text.split(",")):
        kind = names[-1].partition(":")[0] if names else ""
        if part.isdecimal() and kind in ("", "cpu", "mps"):
            raise DeviceError(f"--device {text}: number {part} without a kind of device", _HINT)
        name = f"{kind}:{int(part)}" if part.isdecimal() else "cuda:0" if part == "cuda" else part
        if name in ("", "auto"):
            raise DeviceError(f"--device {text}: {name or 'an empty name'} is not supported in a list", _HINT)
        if name in names and name != "cpu":
            raise DeviceError(f"--device {text}: {name} is listed twice", _HINT)
        names.append(name)
    return tuple(names)
