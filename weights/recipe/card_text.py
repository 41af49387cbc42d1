"""The card's words around the measured numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recipe.card_heads import BIMORS, SILENT, ZERO_SHOT

TEXT = """# mini: the bundle that comes with bimors

Three small models trained from nothing on two sets of aerial pictures, and a prompt learner on top. It makes the
program run at once, without a network, on two processor cores. It is a small model: for wide label lists, other
sensors or a last word on quality, bring a full-size CLIP.

{parts}

Weights are float16 on disk and float32 in use. All of this file's numbers are in `metrics.json`, measured by
`weights/build_mini.py card` ({measured}). `mlm.json` describes the bundle to catalogues, as a STAC Item with the
machine learning model extension.

## Data and terms

- RSICD: 10,000 pictures of 30 classes, those of AID, five sentences each. Used for CLIP, captioner, caption encoder and
  adapter. Research use; cite Lu et al. 2018 (RSICD) and Xia et al. 2017 (AID).
- RSSCN7: 2,800 pictures of 7 classes. Used for CLIP, the captioner's vision and the adapter. Licence not stated; cite
  Zou et al. 2015.
- RSITMD: 23,715 sentences, no pictures. Used for caption encoder and tokenizers. Licence not stated; cite Yuan et al.
  2022.

The pictures are Google Earth imagery; none of them is here. Weights learned from them are meant for research use.

Pictures a part:

{split}

RSICD is split by the benchmark's file, RSSCN7 by a hash of the file name. Parts other than train, val and test are held
out of every frozen model, for the adapter and its temperature. Training pictures that are pixel for pixel in a held-out
part were left out. Test pictures and their sentences were looked at for this card alone.
What was chosen was chosen on validation pictures{final_note}.

## Test pictures that no part ever saw

{accuracy}

Macro F1 and balanced accuracy give each class the same weight. Calibration error: expected, 15 bins, in points; after
is with the fitted temperature (zero-shot {cold:.3f}, bimors {cold_bimors:.3f}). "No captions" is bimors as it runs with
`--no-captions`: every caption is empty.

The zero-shot head reads `a photo of a LABEL.` alone. Averages over more templates, those that the text tower learned or
others for remote sensing, were not better on held-out pictures by more than chance.

{differences}

The differences are on the same pictures, each interval by a paired bootstrap over them.
{known_labels}

![Truth and answers on RSICD, bimors](confusion-rsicd.png)
![Truth and answers on RSSCN7, bimors](confusion-rsscn7.png)
![Confidence and truth on RSICD, bimors](reliability-rsicd.png)
![Confidence and truth on RSSCN7, bimors](reliability-rsscn7.png)

By class, and captions:

{by_class}

{by_class7}

What the zero-shot head makes of the same test pictures, changed as scenes differ from photographs:

{changed}

Most confused on RSICD (bimors): {confused}.

## How the adapter was trained

{adapter}

## Captions

{named} % of the test captions name the class or a synonym (list of stems in `metrics.json`; matched from the start of a
word). The same measure passes {human} % of the first human captions, and {blind} % of captions that were made for
another, random picture. Against the human captions: BLEU-4 {bleu}, CIDEr {cider} of 10 (pycocoevalcap; words split at
spaces, full stops and commas, as the usual tokenizer needs Java, so figures of papers differ a little). {distinct}
different sentences on {test} pictures, {empty} empty. The captioner learned only from sentences that end within 15
tokens and name the class.

{examples}

## Speed and memory

Batches of {batch} on {threads} threads of the building machine, float32, before the head:

{speed}

At its highest `{example}` takes {memory} MB.

## Image towers tried

Equal training time, learning from train, measured on validation. Short runs: they tell which learns fastest. The
machine was shared with other work; `steps` says how much each got done.

{tried}

## Training

{training}

Held out: the {held} pictures of the adapter, equally many of each class. A run may be the continuation of another of
its name; the captioner learned to see and began to speak (`captioner`), then, with its vision fixed, went on speaking
(`captioner-speech`).

{minutes} minutes in all, some {watt_hours} Wh: estimated, not metered, at {watts:.0f} W for a share of two virtual
processors.

{curves}

{notes}

## What it does not know

- It knows {vocabulary} words (listed in `manifest.json`). The program warns of others by name; to mini they are noise.
- It saw true-colour pictures from above, between about half a metre and eight metres a pixel at their first size.
  Oblique photographs, single bands, radar, false colour and coarse satellite pixels are not what it learned.
- Worst on RSICD's test pictures (bimors): {worst}. `square` is a city square, `center` a hall in a city's centre.
- A caption is a plausible sentence of RSICD's kind. It does not count, and it says "many" and "some" out of habit.

## Build it again

    python weights/build_mini.py all --imagery PATH/imagery --splits PATH/splits --final --seed {seed}

Runs are seeded and counted in epochs, so the same machine and number of threads gives the same weights.{clock} A stage
that was cut off goes on from its last whole epoch. On a processor with AMX or on a GPU training is in bfloat16,
elsewhere in float32: equal in kind, not bit for bit.
"""


def card(metrics: dict[str, Any]) -> str:
    """The card of the bundle that these numbers were measured on."""
    test, captions, split = metrics["test"], metrics["captions"], metrics["split"]
    rsicd = test["rsicd"][BIMORS]
    seen = {name: share["per cent"] for name, share in rsicd["by class"].items() if share["of"]}
    worst = sorted(seen.items(), key=lambda row: row[1])[:6]
    ended, cost = metrics["ended by the clock"], metrics["training cost"]
    return TEXT.format(
        parts=_parts(metrics),
        measured=metrics["measured"][:10],
        split=table([{"set": name.upper(), **parts} for name, parts in split.items()]),
        final_note="; then the models learned from train and the rest of val"
        if metrics["learned with validation pictures"]
        else "",
        accuracy=_accuracy(test),
        cold=metrics["temperature"][ZERO_SHOT],
        cold_bimors=metrics["temperature"][BIMORS],
        differences="\n".join(_differences(metrics["difference"])),
        known_labels="\n".join(_known_labels(name, heads, metrics["adapter"]) for name, heads in test.items()),
        changed=_changed(metrics["changed"]),
        by_class=_by_class("RSICD", test["rsicd"], captions["by class"]),
        by_class7=_by_class("RSSCN7", test["rsscn7"], {}),
        confused=", ".join(f"{a} taken for {b} ({n})" for a, b, n in rsicd["most confused"]),
        adapter=table([{"what": what, "how": how} for what, how in metrics["adapter"]["training"].items()]),
        named=_share(captions["names the class"]),
        human=_share(captions["first human caption names the class"]),
        blind=_share(captions["caption of a random other picture names the class"]),
        bleu=captions["BLEU-4"],
        cider=captions["CIDEr"],
        distinct=captions["distinct"],
        test=split["rsicd"]["test"],
        empty=captions["empty"],
        examples=table([{"test picture": a, "mini says": b} for a, b in captions["examples"]]),
        batch=metrics["speed"]["batch"],
        threads=metrics["speed"]["threads"],
        speed=_speed(metrics["speed"]),
        example=metrics["memory"]["of"],
        memory=metrics["memory"]["MB"],
        tried=table(metrics["image towers tried"]),
        training=table(metrics["training runs"]),
        held=sum(count for part, count in split["rsicd"].items() if part not in ("train", "val", "test")),
        minutes=cost["minutes"],
        watt_hours=cost["watt hours"],
        watts=cost["assumed watts"],
        curves="\n".join(f"![Curves of {name[9:-4]}]({name})" for name in metrics["curves"]),
        notes=metrics["notes"],
        vocabulary=metrics["vocabulary"],
        worst=", ".join(f"{name} {right:.0f} %" for name, right in worst),
        seed=metrics["seed"],
        clock=f" These were ended by `--minutes`, which depends on the clock: {', '.join(ended)}." if ended else "",
    )


def verdict(low: float, high: float) -> str:
    """What the 95 % interval of a difference says about the first of two."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not told apart"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of all keys that a row has."""
    if not rows:
        return "(not run)"
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(str(row.get(h, "")) for h in heads) + " |" for row in rows])


def _changed(changed: dict[str, list[dict[str, Any]]]) -> str:
    """A row a change, a column a set."""
    return table(
        [
            {"pictures": rows[0]["pictures"]}
            | {f"{name.upper()}, %": _share(row) for name, row in zip(changed, rows, strict=True)}
            for rows in zip(*changed.values(), strict=True)
        ]
    )


def _parts(metrics: dict[str, Any]) -> str:
    towers = metrics["towers"]
    kinds = {
        "clip": f"open_clip, {towers['image tower']} at {towers['image side']} pixels, text tower of "
        f"{towers['text layers']} layers, {towers['text length']} tokens",
        "captioner": "BLIP-2: ViT, Q-Former, T5",
        "caption_encoder": f"BERT of {towers['caption encoder layers']} layers",
        "adapter": f"BiMoRS prompt learner, {len(metrics['adapter']['labels'])} labels",
    }
    rows = [(f"`{name}/`", what, metrics["size"][name]) for name, what in kinds.items()]
    return table(
        [
            {"part": part, "what": what, "MB": size["MB"], "million weights": f"{size['weights'] / 1e6:.2f}"}
            for part, what, size in (*rows, ("all", "", metrics["size"]["all"]))
        ]
    )


def _share(value: dict[str, Any]) -> str:
    if value["per cent"] is None:
        return "no pictures"
    return f"{value['per cent']:.1f} ({value['95 %'][0]:.1f} to {value['95 %'][1]:.1f})"


def _accuracy(test: dict[str, Any]) -> str:
    return table(
        [
            {
                "set": f"{name.upper()} ({row['accuracy']['of']} pictures)",
                "head": head,
                "right, %": f"{row['accuracy']['per cent']:.2f}",
                "95 % interval": f"{row['accuracy']['95 %'][0]:.1f} to {row['accuracy']['95 %'][1]:.1f}",
                "macro F1, %": f"{row['macro F1']:.1f}",
                "balanced accuracy, %": f"{row['balanced accuracy']:.1f}",
                "kappa": f"{row['kappa']:.3f}",
                "calibration error before": f"{row['calibration error before']:.1f}",
                "after": f"{row['calibration error after']:.1f}",
            }
            for name, heads in test.items()
            for head, row in heads.items()
        ]
    )


def _differences(difference: dict[str, Any]) -> list[str]:
    lines = []
    for name, pairs in difference.items():
        for which, found in pairs.items():
            low, high = found["95 %"]
            first, other = which.split(" minus ")
            said = {
                "better": f"{first} is better",
                "worse": f"{first} is worse",
                "not told apart": f"{first} and {other} are not told apart",
            }[verdict(low, high)]
            points = f"{found['points']:+.2f} points ({low:+.2f} to {high:+.2f})"
            lines.append(f"- {name.upper()}, {which}: {points}: {said}.")
    return lines


def _known_labels(name: str, heads: dict[str, Any], adapter: dict[str, Any]) -> str:
    labels = list(heads[BIMORS]["by class"])
    known = sum(label in adapter["labels"] for label in labels)
    return f"Of {name.upper()}'s {len(labels)} names the adapter was trained with {known}."


def _by_class(name: str, heads: dict[str, Any], captions: dict[str, Any]) -> str:
    return table(
        [
            {
                f"{name} class": kind,
                "pictures": share["of"],
                **{f"{head}, % (95 %)": _share(heads[head]["by class"][kind]) for head in (ZERO_SHOT, BIMORS, SILENT)},
                **({"caption names it, % (95 %)": _share(captions[kind])} if captions else {}),
            }
            for kind, share in heads[BIMORS]["by class"].items()
        ]
    )


def _speed(speed: dict[str, Any]) -> str:
    return table(
        [
            {
                "run": mode,
                "pictures a second": speed[mode]["pictures a second"],
                **{f"{part}, ms a picture": ms for part, ms in speed[mode]["milliseconds a picture"].items()},
            }
            for mode in ("with captions", "without captions")
        ]
    )
