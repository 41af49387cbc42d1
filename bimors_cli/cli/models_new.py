"""`bimors models new`: a bundle from the user's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import options
from bimors_cli.cli.classify import stay_off_the_network
from bimors_cli.cli.console import set_verbosity
from bimors_cli.errors import InputError

EXAMPLE = "Example: bimors models new -o mine --clip RemoteCLIP/ --captioner blip2/ --caption-encoder bert/"

_PARTS, _MANIFEST = "Parts", "What the manifest says"
Target = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The bundle's folder.")]
ClipSource = Annotated[
    Path,
    typer.Option(
        "--clip",
        metavar="FOLDER|FILE",
        rich_help_panel=_PARTS,
        help="A folder with open_clip_config.json and open_clip_model.safetensors; or a safetensors file.",
    ),
]
ClipConfig = Annotated[
    str | None,
    typer.Option(
        "--clip-config",
        metavar="NAME|FILE",
        rich_help_panel=_PARTS,
        help="For a safetensors file: its architecture in open_clip, as ViT-B-32, or an open_clip_config.json.",
    ),
]
CaptionerSource = Annotated[
    Path, typer.Option("--captioner", metavar="FOLDER", rich_help_panel=_PARTS, help="BLIP-2 or BLIP, of transformers.")
]
CaptionEncoderSource = Annotated[
    Path, typer.Option("--caption-encoder", metavar="FOLDER", rich_help_panel=_PARTS, help="BERT, of transformers.")
]
Link = Annotated[
    bool,
    typer.Option("--link", rich_help_panel=_PARTS, help="Link files instead of copying them, where the disk can."),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="N", rich_help_panel=_MANIFEST, help="Default: the folder's name.")
]
Description = Annotated[str, typer.Option("--description", rich_help_panel=_MANIFEST, help="For people.")]
Context = Annotated[
    str,
    typer.Option("--context", metavar="WORDS", rich_help_panel=_MANIFEST, help="That a learned prompt begins with."),
]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        rich_help_panel=_MANIFEST,
        help="What zero-shot reads a label in, with {} for it; repeat it to average several. Default: a set for "
        "remote sensing.",
    ),
]
Temperature = Annotated[
    float, typer.Option("--temperature", rich_help_panel=_MANIFEST, help="Divides the zero-shot logits.")
]
Licences = Annotated[
    list[str] | None,
    typer.Option("--licence", metavar="PART=TERMS", rich_help_panel=_MANIFEST, help="As clip=MIT; once for each part."),
]


def new(
    output: Target,
    clip: ClipSource,
    captioner: CaptionerSource,
    caption_encoder: CaptionEncoderSource,
    clip_config: ClipConfig = None,
    link: Link = False,
    name: Name = None,
    description: Description = "",
    context: Context = "a photo of a",
    template: Templates = None,
    temperature: Temperature = 1.0,
    licence: Licences = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Make a bundle from your own open_clip and transformers weights.

    Safetensors only. Each part is loaded and looks at one random picture before the bundle is put in its place; the
    bundle answers zero-shot until an adapter is trained for it. Writes the bundle's path to standard output.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    terms = dict(_part_and_terms(text) for text in licence or ())

    from bimors_cli.pipeline.bundles.make import Sources, new_bundle

    new_bundle(
        output,
        Sources(clip, clip_config, captioner, caption_encoder),
        name=name or output.resolve().name,
        description=description,
        context=context,
        templates=tuple(template or ()),
        licences=terms,
        temperature=temperature,
        device=device,
        link=link,
        overwrite=overwrite,
    )
    print(output)


def _part_and_terms(text: str) -> tuple[str, str]:
    part, equals, terms = text.partition("=")
    if not (part and equals and terms):
        raise InputError(f"--licence {text}: not PART=TERMS", "as --licence clip=MIT")
    return part, terms
