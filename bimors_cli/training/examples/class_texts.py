"""The values of an attribute as class names: one normal form, null words are null, lists of one are their item."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import VectorError
from bimors_cli.run_warnings import warn

# What exports write for null into a text field.
_NULLS: Final = frozenset({"null", "<null>", "(null)", "none", "<none>", "nan", "n/a", "#n/a", "<na>"})
# More different numbers with decimals than the classes of any map.
_MANY: Final = 50


def class_texts(values: Sequence[Any], ids: Sequence[int], path: str, field: str) -> npt.NDArray[np.object_]:
    """Return the values of a field as class names, object array [n] of str; empty for null.

    White space of any kind is one space, and letters with accents are one character (NFC), so that names that look the
    same are the same. UTF-8 in a shapefile that says nothing of its encoding is read as UTF-8, with a warning.

    Parameters
    ----------
    values : sequence
        Of the field, as pyogrio reads them.
    ids : sequence of int
        Numbers of the features (GDAL's FID), for messages.
    path, field : str
        File and field, for messages.

    Raises
    ------
    VectorError
        A value is a list of several items, or an object.
    """
    plain = [_one(value, fid, path, field) for value, fid in zip(values, ids, strict=True)]
    if path.lower().endswith(".shp"):
        plain = _as_utf8(plain, path, field)
    decimals = {value for value in plain if isinstance(value, float) and math.isfinite(value) and value % 1}
    if len(decimals) > _MANY:
        warn(
            "%s: %s has %d different values with decimals, such as %s, and looks like a measurement: give a field of "
            "classes", path, field, len(decimals), min(decimals),
        )  # fmt: skip
    return np.array([_text(value) for value in plain], object)


def _one(value: Any, fid: int, path: str, field: str) -> Any:
    """Return a value, or the item of a list of one."""
    found = value
    if isinstance(found, str) and found[:1] in "[{" and found[-1:] in "]}" and found:
        try:
            found = json.loads(found)  # GDAL gives lists of mixed types, and objects, as JSON
        except ValueError:
            return value
    if isinstance(found, np.ndarray):
        found = found.tolist()
    if isinstance(found, list | tuple) and len(found) <= 1:
        return _one(found[0], fid, path, field) if found else None
    if isinstance(found, list | tuple | dict):
        what = "an object" if isinstance(found, dict) else f"a list of {len(found)} items"
        raise VectorError(
            f"{path}: {field} of feature {fid} is {what}", "write one class name into a text field of its own"
        )
    return found


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN is null in a number field
        return ""
    if isinstance(value, float) and value.is_integer():  # integers are read as floats if one of them is null
        value = int(value)
    text = " ".join(unicodedata.normalize("NFC", str(value)).split())
    return "" if text.lower() in _NULLS else text


def _as_utf8(values: Sequence[Any], path: str, field: str) -> list[Any]:
    """Undo that GDAL read UTF-8 as Latin-1, if all values with other letters than ASCII are UTF-8."""
    # In the order of the file: the message names the same example in every run.
    decoded = {value: _utf8_of(value) for value in values if isinstance(value, str) and not value.isascii()}
    if not decoded or None in decoded.values():
        return list(values)
    example = next(iter(decoded.values()))
    warn(
        "%s: %s is read as UTF-8 (such as %r): the shapefile does not state its encoding; add a .cpg file with UTF-8",
        path, field, example,
    )  # fmt: skip
    return [decoded.get(value, value) if isinstance(value, str) else value for value in values]


def _utf8_of(text: str) -> str | None:
    for encoding in ("latin-1", "cp1252"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return None
