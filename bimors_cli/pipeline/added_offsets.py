"""A warning about scenes whose stored values are shifted against those that an adapter learned from."""

from __future__ import annotations

from collections.abc import Sequence

from bimors_cli.run_warnings import warn
from bimors_cli.scene.added_offset import added_offset
from bimors_cli.scene.raster import SceneInfo


def warn_of_added_offset(infos: Sequence[SceneInfo], learned: float | None, owner: str) -> None:
    """Warn about the first scene whose values are shifted, if both sides are known.

    Parameters
    ----------
    infos : sequence of SceneInfo
        The scenes.
    learned : float or None
        What was added to the values of the bands that ``owner`` has; None if that is unknown.
    owner : str
        For the message: ``the adapter NAME``, or the name of a scene.
    """
    known = [(info, found) for info in infos if (found := added_offset(info)) is not None]
    shifted = [(info, *found) for info, found in known if found[0] != learned]
    if learned is None or not shifted:
        return
    info, added, said = shifted[0]
    where = info.name if len(shifted) == 1 else f"{len(shifted):,} of {len(infos):,} scenes, such as {info.name}"
    warn(
        "%s: its bands have values that are %g %s than those of %s (%s); make them alike: gdal_edit.py -offset %g FILE",
        where,
        abs(added - learned),
        "higher" if added > learned else "lower",
        owner,
        said,
        learned - added,
    )
