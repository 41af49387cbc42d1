"""Which tiles of a run of classify are captioned, and in which scenes the captions are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.errors import InputError
from bimors_cli.options.captions import ALL, AUTO, DOUBTFUL, NONE


@dataclass(frozen=True)
class CaptionUse:
    """What ``--captions`` comes to.

    Attributes
    ----------
    made : bool
        Whether the captioner runs.
    written : tuple of bool
        By scene, whether the column ``caption`` has them.
    reason : str or None
        Why ``--captions auto`` leaves the column null in some scenes.
    below : float or None
        Tiles are captioned after they are labelled, those with a confidence below this or without a label; None if all
        tiles are captioned before.
    """

    made: bool
    written: tuple[bool, ...]
    reason: str | None = None
    below: float | None = None

    @property
    def first(self) -> bool:
        """Whether all tiles are captioned, before they are labelled."""
        return self.made and self.below is None

    @property
    def row_key(self) -> Any:
        """Their part of the key of the rows.

        True or False if all tiles have a caption or none was made. Otherwise they decide labels, or are those of some
        scenes, which earlier versions could not do: a list by scene. If those of doubtful tiles were made, an object
        with the confidence.
        """
        if self.below is not None:
            return {"below": self.below}
        return list(self.written) if self.made and not all(self.written) else self.made

    @property
    def mode(self) -> str:
        """The option with which another machine makes the same rows."""
        if self.below is not None:
            return DOUBTFUL
        return AUTO if self.made and not all(self.written) else ALL if self.made else NONE


def resolve_captions(
    mode: str,
    adapter: Adapter | None,
    *,
    own: bool,
    outside: Sequence[str | None],
    without_captioner: str | None = None,
    below: float = 0.0,
) -> CaptionUse:
    """Decide which captions a run needs or shows.

    Parameters
    ----------
    mode : str
        One of `bimors_cli.options.captions.CAPTION_MODES`.
    adapter : Adapter or None
        The adapter of the run; None for zero-shot.
    own : bool
        Whether the user gave it.
    outside : sequence of str or None
        By scene its name if it is outside the training domain, where captions describe nothing.
    without_captioner : str, optional
        Name of the bundle, if it has no captioner.
    below : float
        For ``doubtful``, the confidence below which tiles are captioned.

    Raises
    ------
    InputError
        Captions are requested of a bundle without captioner, or those of doubtful tiles for a head that needs all.
    """
    if without_captioner is not None and mode != NONE:
        if mode in (ALL, DOUBTFUL):
            raise InputError(
                f"--captions {mode}: {without_captioner} has no captioner",
                "leave out --captions, or use --model with another bundle",
            )
        reason = f"no captions were made: {without_captioner} has no captioner"
        return CaptionUse(False, (False,) * len(outside), reason)
    if mode == DOUBTFUL:
        if adapter is not None and adapter.captions:
            raise InputError(
                f"--captions doubtful: the adapter {adapter.name} needs the captions of all tiles for its labels",
                "use --captions all, --head zero-shot, or an adapter that bimors finetune --head auto wrote",
            )
        return CaptionUse(True, (True,) * len(outside), below=below)
    if mode != AUTO:
        return CaptionUse(mode == ALL, (mode == ALL,) * len(outside))
    needed = adapter is not None and adapter.captions
    if adapter is not None and own and not needed:
        reason = f"no captions were made: the adapter {adapter.name} does not use them; --captions all makes them"
        return CaptionUse(False, (False,) * len(outside), reason)
    written = tuple(name is None for name in outside)
    named = [name for name in outside if name is not None]
    if not named:
        return CaptionUse(True, written)
    where = named[0] if len(named) == 1 else f"{len(named):,} scenes"
    verb = "is" if len(named) == 1 else "are"
    reason = (
        f"no captions are written of {where}, which {verb} not like the training images of the captioner; "
        "--captions all writes them"
    )
    return CaptionUse(needed or any(written), written, reason)
