"""The settings of a beam search, and which models and settings `bimors_cli.model.t5` computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

# Settings of transformers' GenerationConfig that this package computes, or that do not change a caption.
_COMPUTED: Final = frozenset({"eos_token_id", "pad_token_id", "length_penalty", "min_length", "min_new_tokens"})
_REPLACED: Final = frozenset({"num_beams", "max_new_tokens", "max_length", "early_stopping"})
_WITHOUT_EFFECT: Final = frozenset(
    {
        "_from_model_config",
        "bos_token_id",  # generate reads it for decoder_start_token_id only, which is required below
        "decoder_start_token_id",
        "output_attentions",
        "output_hidden_states",
        "transformers_version",
        "use_cache",
    }
)
_DTYPES: Final = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class BeamSettings:
    """Settings of a beam search, with the meaning that they have in transformers' ``generate``.

    Attributes
    ----------
    beams : int
        Number of sequences kept for each image; 1 is a greedy search.
    steps : int
        Maximum number of new tokens, at least 1; at least ``shortest`` of them precede the end token.
    length_penalty : float
        The score of a finished sequence is the sum of its log probabilities, divided by its number of tokens to this
        power.
    early_stopping : bool or "never"
        True: an image is finished when it has ``beams`` finished sequences. False and "never": it is finished when
        its best unfinished sequence cannot become better than these, as estimated from its present length, or from
        ``steps``.
    start, fill : int
        First input of the decoder, and what follows the end of a caption that is shorter than others.
    ends : tuple of int
        Tokens that end a sequence.
    """

    beams: int
    steps: int
    shortest: int
    length_penalty: float
    early_stopping: bool | str
    start: int
    fill: int
    ends: tuple[int, ...]

    @property
    def candidates(self) -> int:
        """Number of continuations of an image that a step looks at: so many that ``beams`` of them do not end."""
        return max(2, 1 + len(self.ends)) * self.beams


def read_settings(model: Any, beams: int, steps: int, early_stopping: bool | str = True) -> BeamSettings | str:
    """Return the settings of a captioner's beam search, or why this package cannot compute its captions.

    Parameters
    ----------
    model : transformers.Blip2ForConditionalGeneration
        A loaded captioner.
    beams, steps, early_stopping
        As `BeamSettings`.

    Returns
    -------
    BeamSettings or str
        A string names the first setting or layer that is not supported; such a captioner needs ``generate``.
    """
    config = model.config.text_config
    if config.model_type != "t5":
        return f"the language model is {config.model_type}"
    if model.dtype not in _DTYPES:
        return f"the precision is {model.dtype}"
    generation = model.language_model.generation_config
    unknown = set(_changed(generation)) - _COMPUTED - _REPLACED - _WITHOUT_EFFECT
    if unknown:
        return f"generation setting {min(unknown)}"
    ends = generation.eos_token_id
    ends = tuple(ends) if isinstance(ends, (list, tuple)) else (ends,)
    if None in ends or not ends:
        return "no end token"
    if generation.decoder_start_token_id is None:
        return "no start token"
    if config.vocab_size < max(2, 1 + len(ends)) * beams:
        return f"a vocabulary of {config.vocab_size} words"
    if config.bos_token_id == model.config.image_token_index:
        return "the start token of the prompt is that of an image"
    # min_length includes the start token.
    shortest = max((generation.min_length or 0) - 1, generation.min_new_tokens or 0, 0)
    penalty = 1.0 if generation.length_penalty is None else float(generation.length_penalty)
    return BeamSettings(
        beams,
        steps,
        shortest,
        penalty,
        early_stopping if beams > 1 else True,
        generation.decoder_start_token_id,
        generation.pad_token_id or ends[0],
        ends,
    )


def _changed(generation: Any) -> Mapping[str, Any]:
    """Settings that differ from the defaults of transformers."""
    changed: Mapping[str, Any] = generation.to_diff_dict()
    return {name: value for name, value in changed.items() if value is not None}
