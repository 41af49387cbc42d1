"""`bimors models new`: a bundle from the user's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli.command import stay_off_the_network, typer_parameter
from bimors_cli.cli.console import set_verbosity
from bimors_cli.cli.parameters import Overwrite, Quiet, Verbose
from bimors_cli.errors import InputError
from bimors_cli.options.common import DEVICE
from bimors_cli.steps import LIBRARIES, step

EXAMPLE = "Example: bimors models new -o mine --clip RemoteCLIP/ --captioner blip2/ --caption-encoder bert/"

Device = Annotated[str, typer_parameter(DEVICE)]
_PARTS, _MANIFEST = "Parts", "What the manifest says"
Target = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the bundle.")]
ClipSource = Annotated[
    Path,
    typer.Option(
        "--clip",
        metavar="FOLDER|FILE",
        rich_help_panel=_PARTS,
        help="Folder with open_clip_config.json and open_clip_model.safetensors, or a safetensors file. With --bands "
        "also a PyTorch checkpoint.",
    ),
]
ClipConfig = Annotated[
    str | None,
    typer.Option(
        "--clip-config",
        metavar="NAME|FILE",
        rich_help_panel=_PARTS,
        help="For a file: its architecture in open_clip, such as ViT-B-32, or an open_clip_config.json.",
    ),
]
CaptionerSource = Annotated[
    Path | None,
    typer.Option(
        "--captioner",
        metavar="FOLDER",
        rich_help_panel=_PARTS,
        help="Folder of a BLIP-2, BLIP or Florence-2 model of transformers. Without it, tiles get no captions.",
    ),
]
CaptionerLora = Annotated[
    Path | None,
    typer.Option(
        "--captioner-lora",
        metavar="FOLDER",
        rich_help_panel=_PARTS,
        help="Folder of a LoRA for the captioner, with adapter_config.json and adapter_model.safetensors. It is merged "
        "into the weights.",
    ),
]
CaptionEncoderSource = Annotated[
    Path | None,
    typer.Option(
        "--caption-encoder", metavar="FOLDER", rich_help_panel=_PARTS, help="Folder of a BERT model of transformers."
    ),
]
Link = Annotated[
    bool,
    typer.Option(
        "--link", rich_help_panel=_PARTS, help="Link the files instead of copying them, where the file system can."
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="N", rich_help_panel=_MANIFEST, help="Default: the folder's name.")
]
Description = Annotated[str, typer.Option("--description", rich_help_panel=_MANIFEST, help="Description for readers.")]
Context = Annotated[
    str,
    typer.Option(
        "--context", metavar="WORDS", rich_help_panel=_MANIFEST, help="Words that a learned prompt begins with."
    ),
]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        rich_help_panel=_MANIFEST,
        help="Prompt template of the zero-shot head, with {} in place of the label. Repeat it to average several. "
        "Default: a set for remote sensing.",
    ),
]
Temperature = Annotated[
    float,
    typer.Option("--temperature", rich_help_panel=_MANIFEST, help="Temperature that divides the zero-shot logits."),
]
Domain = Annotated[
    Path | None,
    typer.Option(
        "--training-domain",
        metavar="FILE",
        rich_help_panel=_MANIFEST,
        help='JSON file with the sizes of the training images, in metres: {"pixel_size_m": [0.5, 8], "tile_size_m": '
        "[300, 4800]}. bimors then warns about scenes far outside of them.",
    ),
]
BandsFile = Annotated[
    Path | None,
    typer.Option(
        "--bands",
        metavar="FILE",
        rich_help_panel=_MANIFEST,
        help='JSON file with the bands that CLIP takes, in its order: {"bands": [{"name": "blue", "mean": 925.2, '
        '"std": 1205.6}, ...], "bands_unit": "..."}. Default: red, green and blue.',
    ),
]
Licences = Annotated[
    list[str] | None,
    typer.Option(
        "--licence",
        metavar="PART=TERMS",
        rich_help_panel=_MANIFEST,
        help="Licence of a part, such as clip=MIT. Repeat it for each part.",
    ),
]


def new(
    output: Target,
    clip: ClipSource,
    captioner: CaptionerSource = None,
    captioner_lora: CaptionerLora = None,
    caption_encoder: CaptionEncoderSource = None,
    clip_config: ClipConfig = None,
    link: Link = False,
    name: Name = None,
    description: Description = "",
    context: Context = "a photo of a",
    template: Templates = None,
    temperature: Temperature = 1.0,
    training_domain: Domain = None,
    bands: BandsFile = None,
    licence: Licences = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Make a bundle from your own open_clip and transformers weights.

    Only safetensors are accepted, except for a checkpoint with --bands, which is converted in a separate process. Each
    part is loaded and tested on one random image before the bundle is written. The bundle classifies zero-shot until an
    adapter is trained for it. The path of the bundle is written to standard output.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    terms = dict(_part_and_terms(text) for text in licence or ())

    from bimors_cli.bundle.input_bands import read_input_bands
    from bimors_cli.bundle.training_domain import read_training_domain

    with step(LIBRARIES):
        from bimors_cli.pipeline.bundles.make import Sources, new_bundle

    new_bundle(
        output,
        Sources(clip, clip_config, captioner, caption_encoder, captioner_lora),
        name=name or output.resolve().name,
        description=description,
        context=context,
        templates=tuple(template or ()),
        training_domain=None if training_domain is None else read_training_domain(training_domain),
        bands=None if bands is None else read_input_bands(bands),
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
        raise InputError(f"--licence {text}: not of the form PART=TERMS", "write for example --licence clip=MIT")
    return part, terms
