"""Conversion of checkpoints of the published BiMoRS code to the weights of a prompt learner.

The published code saves only the prompt learner. The caption projection is outside of it, initialised at random and
never trained: it is not in the checkpoint, but follows from the seed of the run. The order of random numbers before it
is given by the published code (github ipankhi/BiMoRS, commit c345cd8: ``clip/model.py``, ``trainers/bimors.py``): all
of CLIP, then the prompt learner, then the projection, on the CPU with torch's generator, which is the same on every
machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from open_clip.transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from bimors_cli.errors import BundleError, InputError
from bimors_cli.model.clip import Clip
from bimors_cli.model.heads.bimors import ATTENTION_HEADS, META_NET_REDUCTION, PromptLearner, PromptLearnerWidths
from bimors_cli.model.loading import raise_if_different

NAMES = {
    "ctx": "context",
    "meta_net.linear1.": "meta_net.0.",
    "meta_net.linear2.": "meta_net.2.",
    "cross_attn.cross_attend_blocks.norm.": "context_norm.",
    "cross_attn.cross_attend_blocks.norm_context.": "evidence_norm.",
    "cross_attn.cross_attend_blocks.fn.": "attention.",
    "token_gen.linear.": "caption_projection.",  # only in checkpoints of a fixed version of the code
}
# Embeddings of the start token and the class names, which every CLIP has; and a layer that the code does not use.
IGNORED = ("token_prefix", "token_suffix", "kn_gen.")
PROJECTION = ("caption_projection.weight", "caption_projection.bias")
# Minimum cosine of trained and initial weights. With another seed it is about 0.001 by chance; after training with the
# published recipe it is far above this value.
MIN_COSINE = 0.1


def from_official(
    source: Path, tensors: Mapping[str, torch.Tensor], widths: PromptLearnerWidths
) -> dict[str, torch.Tensor]:
    """Convert the tensors of a checkpoint to the state of a `PromptLearner`, in float32.

    The result contains the caption projection only if the checkpoint does.

    Parameters
    ----------
    source : Path
        File of the tensors, for error messages.
    tensors : mapping
        Tensors by the names of the published code.
    widths : PromptLearnerWidths
        Sizes from the bundle; the number of context tokens is that of the checkpoint.

    Raises
    ------
    BundleError
        Tensors are missing, unknown or not finite, or their shapes do not match the bundle.
    """
    state = {}
    unknown = []
    for name, tensor in tensors.items():
        if name.startswith(IGNORED):
            continue
        theirs = next((n for n in NAMES if name == n or (n.endswith(".") and name.startswith(n))), None)
        if theirs is None:
            unknown.append(name)
        elif not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise BundleError(f"{source}: {name} contains values that are not finite, or is not floating point")
        else:
            state[name.replace(theirs, NAMES[theirs], 1)] = tensor.float()
    if "context" not in state:
        raise BundleError(f"{source}: not a checkpoint of BiMoRS: ctx is missing")
    _check_widths(source, state, widths)
    with torch.device("meta"):
        expected = PromptLearner(replace(widths, context=len(state["context"]))).state_dict()
    raise_if_different(
        source,
        missing=[_theirs(name) for name in expected.keys() - state.keys() - set(PROJECTION)],
        unexpected=unknown + [_theirs(name) for name in state.keys() - expected.keys()],
    )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise BundleError(
                f"{source}: {_theirs(name)} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            )
    if len(state.keys() & set(PROJECTION)) == 1:
        raise BundleError(f"{source}: weight or bias of token_gen is missing")
    return state


def no_projection(widths: PromptLearnerWidths) -> dict[str, torch.Tensor]:
    """Return a caption projection of zeros, with which captions are not used."""
    return dict(zip(PROJECTION, (torch.zeros(widths.text, widths.caption), torch.zeros(widths.text)), strict=True))


def projection_of_seed(
    source: Path, state: Mapping[str, torch.Tensor], clip: Clip, caption: int, seed: int
) -> dict[str, torch.Tensor]:
    """Reproduce the random caption projection of the published code for a seed.

    The same random numbers give the initial weights of the training. They must be similar to those of the checkpoint,
    which verifies the seed and the order.

    Parameters
    ----------
    source : Path
        The checkpoint, for error messages.
    state : mapping
        Weights from `from_official`.
    clip : Clip
        Its shape determines the number of random values before the projection.
    caption : int
        Db, the width of the caption embedding.
    seed : int
        Seed of the published code's run.

    Raises
    ------
    BundleError
        The published code does not support this type of CLIP.
    InputError
        The checkpoint was trained with another seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _pass_over_clip(clip.model)
        text, patch = state["context"].shape[1], state["meta_net.0.weight"].shape[1]
        hidden = patch // META_NET_REDUCTION
        start = [nn.Linear(patch, hidden), nn.Linear(hidden, text)]
        attention = nn.MultiheadAttention(text, ATTENTION_HEADS)
        projection = nn.Linear(caption, text)
    initial = {
        "meta_net.0.weight": start[0].weight,
        "meta_net.2.weight": start[1].weight,
        "attention.in_proj_weight": attention.in_proj_weight,
        "attention.out_proj.weight": attention.out_proj.weight,
    }
    for name, weight in initial.items():
        if functional.cosine_similarity(state[name].flatten(), weight.detach().flatten(), dim=0) < MIN_COSINE:
            raise InputError(
                f"{source}: was not trained with seed {seed}",
                "give the --seed of the training run, or omit --official-seed",
            )
    return dict(zip(PROJECTION, (projection.weight.detach(), projection.bias.detach()), strict=True))


def _pass_over_clip(model: Any) -> None:
    """Draw and discard the random numbers of the published code for a CLIP of this shape, in its order."""
    visual = model.visual
    if not isinstance(visual, VisionTransformer) or not hasattr(model, "transformer"):
        raise BundleError("the published code does not support the CLIP of this bundle", "omit --official-seed")
    out, channels, *patch = visual.conv1.weight.shape
    nn.Conv2d(channels, out, tuple(patch), bias=False)
    torch.randn(visual.class_embedding.shape)
    torch.randn(visual.positional_embedding.shape)
    for block in visual.transformer.resblocks:
        _draw_block(block)
    torch.randn(visual.proj.shape)

    blocks = list(model.transformer.resblocks)
    for block in blocks:
        _draw_block(block)
    nn.Embedding(*model.token_embedding.weight.shape)
    # These are initialised a second time by the code.
    again = [model.token_embedding.weight, model.positional_embedding]
    for block in blocks:
        attention, mlp = block.attn, block.mlp
        again += [attention.in_proj_weight, attention.out_proj.weight, mlp.c_fc.weight, mlp.c_proj.weight]
    for tensor in (*again, model.text_projection):
        torch.empty(tensor.shape).normal_()


def _draw_block(block: Any) -> None:
    hidden, width = block.mlp.c_fc.weight.shape
    nn.MultiheadAttention(width, 1)
    nn.Linear(width, hidden)
    nn.Linear(hidden, width)


def _check_widths(source: Path, state: Mapping[str, torch.Tensor], widths: PromptLearnerWidths) -> None:
    first, projection = state.get("meta_net.0.weight"), state.get(PROJECTION[0])
    theirs = {
        "text": state["context"].shape[-1],
        "patch token": widths.patch if first is None else first.shape[-1],
        "caption": widths.caption if projection is None else projection.shape[-1],
    }
    ours = {"text": widths.text, "patch token": widths.patch, "caption": widths.caption}
    for what, width in theirs.items():
        if width != ours[what]:
            raise BundleError(
                f"{source}: {what} width {width} does not match the bundle's {ours[what]}",
                "use --model with the bundle of the CLIP that it was trained with",
            )


def _theirs(ours: str) -> str:
    found = next(theirs for theirs, name in NAMES.items() if ours.startswith(name))
    return ours.replace(NAMES[found], found, 1)
