"""What ``--device`` names, as text; whether these devices are there, `bimors_cli.model.device` knows."""

from __future__ import annotations

from bimors_cli.errors import DeviceError

_HINT = "name each once: cuda:0,1,2,3"


def device_names(text: str) -> tuple[str, ...]:
    """Return the devices of ``--device``: one name as it is, or those of a list with commas.

    In a list a number alone is a device of the kind before it: ``cuda:0,1`` is ``cuda:0,cuda:1``. Only ``cpu`` may be
    there several times: so many processes share the processors.

    Raises
    ------
    DeviceError
        The list has an empty place, a number without a kind, ``auto``, or a device twice.
    """
    if "," not in text:
        return (text,)
    names: list[str] = []
    for part in map(str.strip, text.split(",")):
        kind = names[-1].partition(":")[0] if names else ""
        if part.isdecimal() and kind in ("", "cpu", "mps"):
            raise DeviceError(f"--device {text}: {part} is a number of no kind of device", _HINT)
        name = f"{kind}:{int(part)}" if part.isdecimal() else "cuda:0" if part == "cuda" else part
        if name in ("", "auto"):
            raise DeviceError(f"--device {text}: {name or 'an empty name'} cannot be one of several", _HINT)
        if name in names and name != "cpu":
            raise DeviceError(f"--device {text}: {name} is there twice", _HINT)
        names.append(name)
    return tuple(names)
