"""Checkpoints of the published BiMoRS code as the weights of a prompt learner.

That code saves the prompt learner alone. The projection of the caption is outside it, drawn at random when the model is
built and never trained: it is in no checkpoint and follows from the seed of the run. What is drawn before it, and in
which order, is a fact of the published code (github ipankhi/BiMoRS, commit c345cd8: ``clip/model.py``,
``trainers/bimors.py``): the whole of CLIP, then the prompt learner, then the projection, all on the CPU by torch's
generator, which gives the same numbers on every machine.
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
    "token_gen.linear.": "caption_projection.",  # only where somebody mended the code so that it is saved
}
# Embeddings of start token and class names, which every CLIP has; and a layer that the code never uses.
IGNORED = ("token_prefix", "token_suffix", "kn_gen.")
PROJECTION = ("caption_projection.weight", "caption_projection.bias")
# Cosine of trained weights with those that they began as. Those of another seed come to 0.001 by chance; training
# with the published recipe leaves far more than this.
SAME_START = 0.1


def from_official(
    source: Path, tensors: Mapping[str, torch.Tensor], widths: PromptLearnerWidths
) -> dict[str, torch.Tensor]:
    """Turn the tensors of a checkpoint into the state of a `PromptLearner`, in float32.

    The caption projection is among them only if the checkpoint holds it.

    Parameters
    ----------
    source : Path
        Of the tensors, for errors.
    tensors : mapping
        By the published code's names.
    widths : PromptLearnerWidths
        Of the bundle; the number of context tokens is the checkpoint's own.

    Raises
    ------
    BundleError
        Tensors are missing, unknown, of other shapes than the bundle's, or not finite.
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
            raise BundleError(f"{source}: {name} holds numbers that are not finite, or no floating point numbers")
        else:
            state[name.replace(theirs, NAMES[theirs], 1)] = tensor.float()
    if "context" not in state:
        raise BundleError(f"{source}: not a checkpoint of BiMoRS: lacks ctx")
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
                f"{source}: {_theirs(name)} is {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            )
    if len(state.keys() & set(PROJECTION)) == 1:
        raise BundleError(f"{source}: holds only half of token_gen")
    return state


def no_projection(widths: PromptLearnerWidths) -> dict[str, torch.Tensor]:
    """Return a caption projection of zeros: the caption then has no part in the answer."""
    return dict(zip(PROJECTION, (torch.zeros(widths.text, widths.caption), torch.zeros(widths.text)), strict=True))


def projection_of_seed(
    source: Path, state: Mapping[str, torch.Tensor], clip: Clip, caption: int, seed: int
) -> dict[str, torch.Tensor]:
    """Draw the caption projection anew, as the published code did when it was started with a seed.

    The same draws give the weights that the training began with. They must be akin to the checkpoint's: this is what
    tells that seed and order are right.

    Parameters
    ----------
    source : Path
        The checkpoint, for errors.
    state : mapping
        Its weights, see `from_official`.
    clip : Clip
        Its shape decides how much is drawn before.
    caption : int
        Db, the width of the caption embedding.
    seed : int
        That the published code was started with.

    Raises
    ------
    BundleError
        The bundle's CLIP is none that the published code could have built.
    InputError
        The checkpoint did not begin with this seed's draws.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _pass_over_clip(clip.model)
        text, patch = state["context"].shape[1], state["meta_net.0.weight"].shape[1]
        hidden = patch // META_NET_REDUCTION
        start = [nn.Linear(patch, hidden), nn.Linear(hidden, text)]
        attention = nn.MultiheadAttention(text, ATTENTION_HEADS)
        projection = nn.Linear(caption, text)
    begun = {
        "meta_net.0.weight": start[0].weight,
        "meta_net.2.weight": start[1].weight,
        "attention.in_proj_weight": attention.in_proj_weight,
        "attention.out_proj.weight": attention.out_proj.weight,
    }
    for name, weight in begun.items():
        if functional.cosine_similarity(state[name].flatten(), weight.detach().flatten(), dim=0) < SAME_START:
            raise InputError(
                f"{source}: its training did not begin with the random numbers of seed {seed}",
                "give the --seed of the run that wrote it, or leave --official-seed out",
            )
    return dict(zip(PROJECTION, (projection.weight.detach(), projection.bias.detach()), strict=True))


def _pass_over_clip(model: Any) -> None:
    """Draw what the published code draws for a CLIP of this shape, in its order, and drop it."""
    visual = model.visual
    if not isinstance(visual, VisionTransformer) or not hasattr(model, "transformer"):
        raise BundleError("the published code has no CLIP of this bundle's kind", "leave --official-seed out")
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
    # These begin a second time, by the code's own rule.
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
                f"{source}: its {what} width is {width}, the bundle's {ours[what]}",
                "give the bundle of the CLIP that it was trained with by --model",
            )


def _theirs(ours: str) -> str:
    found = next(theirs for theirs, name in NAMES.items() if ours.startswith(name))
    return ours.replace(NAMES[found], found, 1)
