"""The text of the model card around the measured figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recipe.card_heads import BIMORS, NO_CAPTIONS, ZERO_SHOT

TEXT = """# mini: the bundle that is included in bimors

Three small models trained from scratch on two sets of aerial images, and a prompt learner on top. With it the
program runs out of the box, without a network, on two processor cores. It is a small model: use a full-size CLIP
for long label lists, for other sensors, or for the best accuracy.

{parts}

Weights are float16 on disk and float32 in use. All figures of this file are in `metrics.json`, measured by
`weights/build_mini.py card` ({measured}). `mlm.json` describes the bundle for catalogs, as a STAC Item with the
Machine Learning Model extension.

## Data and terms

- RSICD: 10,000 images of 30 classes, those of AID, with five sentences each. Used for CLIP, captioner, caption
  encoder and adapter. Research use; cite Lu et al. 2018 (RSICD) and Xia et al. 2017 (AID).
- RSSCN7: 2,800 images of 7 classes. Used for CLIP, the vision tower of the captioner and the adapter. Licence not
  stated; cite Zou et al. 2015.
- RSITMD: 23,715 sentences, no images. Used for caption encoder and tokenizers. Licence not stated; cite Yuan et al.
  2022.

The images are Google Earth imagery and are not included. The weights are intended for research use.

Number of images by split:

{split}

The splits of RSICD are those of the benchmark's file; those of RSSCN7 come from a hash of the file name. No frozen
model was trained on the splits `shots` and `fitting`, which are used for the adapter and its temperature. Training
images that are identical to an image of a held-out split were removed. Test images and their sentences were used
for this card only. Model selection used validation images{final_note}.

## Accuracy on test images

{accuracy}

Macro F1 and balanced accuracy give each class the same weight. The calibration error is the expected calibration
error with 15 bins, in percentage points; "after" is with the fitted temperature (zero-shot
{zero_shot_temperature:.3f}, bimors {bimors_temperature:.3f}). "No captions" is bimors with the option
`--no-captions`: all captions are empty.

The zero-shot head uses the single template `a photo of a LABEL.`. Averages over more templates, those of the
training or others for remote sensing, were not significantly better on held-out images.

{differences}

The differences are measured on the same images; the intervals come from a paired bootstrap.
{known_labels}

![Confusion matrix on RSICD, bimors](confusion-rsicd.png)
![Confusion matrix on RSSCN7, bimors](confusion-rsscn7.png)
![Reliability diagram on RSICD, bimors](reliability-rsicd.png)
![Reliability diagram on RSSCN7, bimors](reliability-rsscn7.png)

By class, with the captions that name the class:

{by_class}

{by_class7}

Accuracy of the zero-shot head on the same test images after changes that are typical for scenes:

{changed}

Most frequent confusions on RSICD (bimors): {confused}.

## Training of the adapter

{adapter}

## Captions

{named} % of the test captions contain the class name or a synonym (the word stems are in `metrics.json`; matched
from the start of a word). For comparison: {human} % of the first human captions do, and {blind} % of captions that
were generated for another, random image. Against the human captions: BLEU-4 {bleu}, CIDEr {cider} of 10
(pycocoevalcap; words are split at spaces, full stops and commas, as the usual tokenizer needs Java, so figures of
papers differ slightly). {distinct} different sentences for {test} images, {empty} empty. The captioner was trained
only on sentences that end within 15 tokens and name the class.

{examples}

## Speed and memory

Batches of {batch} on {threads} threads of the build machine, float32, without the head:

{speed}

Peak memory of `{example}`: {memory} MB.

## Comparison of image towers

Equal training time, trained on the training split, measured on validation. These short runs show which tower learns
fastest. The machine was shared with other work; `steps` is the number of training steps of each run.

{tried}

## Training

{training}

Held out: the {held} images of the adapter, the same number for each class. A run may be the continuation of another
run with its name. The run `captioner` trained the vision tower and the captions; the run `captioner-speech`
continued the captions with a frozen vision tower.

{minutes} minutes in total, about {watt_hours} Wh: estimated, not metered, at {watts:.0f} W for two shared virtual
processors.

{curves}

{notes}

## Limitations

- The vocabulary has {vocabulary} words (listed in `manifest.json`). The program warns of other words by name;
  labels with such words are unreliable.
- The models were trained on true-colour nadir images with about half a metre to eight metres per pixel in their
  original size, 300 to 4,800 m a side. Oblique images, single bands, radar, false colour and coarse satellite pixels
  are not in the training data. The program warns about coarser pixels and about tiles of other sizes.
- Lowest accuracy on RSICD's test images (bimors): {worst}. `square` is a city square, `center` a hall in a city
  centre.
- Captions are plausible sentences in the style of RSICD. Their counts are not reliable; "many" and "some" are
  frequent.

## Rebuild

    python weights/build_mini.py all --imagery PATH/imagery --splits PATH/splits --final --seed {seed}

Runs are seeded and their length is given in epochs, so the same machine and number of threads gives the same
weights.{clock} An interrupted stage resumes after its last complete epoch. Training uses bfloat16 on processors
with AMX and on GPUs, float32 elsewhere; the results are equivalent, but not bit-identical.
"""


def card(metrics: dict[str, Any]) -> str:
    """Format the model card of the bundle that was measured."""
    test, captions, split = metrics["test"], metrics["captions"], metrics["split"]
    rsicd = test["rsicd"][BIMORS]
    accuracies = {name: part["per cent"] for name, part in rsicd["by class"].items() if part["of"]}
    worst = sorted(accuracies.items(), key=lambda row: row[1])[:6]
    ended, cost = metrics["ended by the clock"], metrics["training cost"]
    return TEXT.format(
        parts=_parts(metrics),
        measured=metrics["measured"][:10],
        split=table([{"data set": name.upper(), **parts} for name, parts in split.items()]),
        final_note="; the final models were trained on train and the rest of val"
        if metrics["learned with validation pictures"]
        else "",
        accuracy=_accuracy(test),
        zero_shot_temperature=metrics["temperature"][ZERO_SHOT],
        bimors_temperature=metrics["temperature"][BIMORS],
        differences="\n".join(_differences(metrics["difference"])),
        known_labels="\n".join(_known_labels(name, heads, metrics["adapter"]) for name, heads in test.items()),
        changed=_changed(metrics["changed"]),
        by_class=_by_class("RSICD", test["rsicd"], captions["by class"]),
        by_class7=_by_class("RSSCN7", test["rsscn7"], {}),
        confused=", ".join(f"{a} classified as {b} ({n})" for a, b, n in rsicd["most confused"]),
        adapter=table([{"setting": key, "value": value} for key, value in metrics["adapter"]["training"].items()]),
        named=_percent(captions["names the class"]),
        human=_percent(captions["first human caption names the class"]),
        blind=_percent(captions["caption of a random other picture names the class"]),
        bleu=captions["BLEU-4"],
        cider=captions["CIDEr"],
        distinct=captions["distinct"],
        test=split["rsicd"]["test"],
        empty=captions["empty"],
        examples=table([{"test image": file, "caption": caption} for file, caption in captions["examples"]]),
        batch=metrics["speed"]["batch"],
        threads=metrics["speed"]["threads"],
        speed=_speed(metrics["speed"]),
        example=metrics["memory"]["of"],
        memory=metrics["memory"]["MB"],
        tried=table(_with_image_speed(metrics["image towers tried"])),
        training=table(metrics["training runs"]),
        held=sum(count for part, count in split["rsicd"].items() if part not in ("train", "val", "test")),
        minutes=cost["minutes"],
        watt_hours=cost["watt hours"],
        watts=cost["assumed watts"],
        curves="\n".join(f"![Training curves of {name[9:-4]}]({name})" for name in metrics["curves"]),
        notes=metrics["notes"],
        vocabulary=metrics["vocabulary"],
        worst=", ".join(f"{name} {accuracy:.0f} %" for name, accuracy in worst),
        seed=metrics["seed"],
        clock=f" This does not apply to runs ended by `--minutes`: {', '.join(ended)}." if ended else "",
    )


def verdict(low: float, high: float) -> str:
    """Describe the 95 % interval of a difference: whether the first of two is better."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not different"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Format rows as a Markdown table; the columns are the keys of all rows."""
    if not rows:
        return "(not run)"
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    return "\n".join(lines + ["| " + " | ".join(str(row.get(key, "")) for key in keys) + " |" for row in rows])


def _with_image_speed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"images/s" if key == "pictures a second" else key: value for key, value in row.items()} for row in rows]


def _changed(changed: dict[str, list[dict[str, Any]]]) -> str:
    """One row for each change, one column for each data set."""
    return table(
        [
            {"images": rows[0]["pictures"]}
            | {f"{name.upper()}, %": _percent(row) for name, row in zip(changed, rows, strict=True)}
            for rows in zip(*changed.values(), strict=True)
        ]
    )


def _parts(metrics: dict[str, Any]) -> str:
    towers = metrics["towers"]
    kinds = {
        "clip": f"open_clip, {towers['image tower']} at {towers['image side']} pixels, text tower with "
        f"{towers['text layers']} layers, {towers['text length']} tokens",
        "captioner": "BLIP-2: ViT, Q-Former, T5",
        "caption_encoder": f"BERT with {towers['caption encoder layers']} layers",
        "adapter": f"BiMoRS prompt learner, {len(metrics['adapter']['labels'])} labels",
    }
    rows = [(f"`{name}/`", what, metrics["size"][name]) for name, what in kinds.items()]
    return table(
        [
            {"part": part, "model": what, "MB": size["MB"], "million weights": f"{size['weights'] / 1e6:.2f}"}
            for part, what, size in (*rows, ("all", "", metrics["size"]["all"]))
        ]
    )


def _percent(value: dict[str, Any]) -> str:
    if value["per cent"] is None:
        return "no images"
    return f"{value['per cent']:.1f} ({value['95 %'][0]:.1f} to {value['95 %'][1]:.1f})"


def _accuracy(test: dict[str, Any]) -> str:
    return table(
        [
            {
                "data set": f"{name.upper()} ({row['accuracy']['of']} images)",
                "head": head,
                "accuracy, %": f"{row['accuracy']['per cent']:.2f}",
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
        for pair, found in pairs.items():
            low, high = found["95 %"]
            first, other = pair.split(" minus ")
            result = {
                "better": f"{first} is better",
                "worse": f"{first} is worse",
                "not different": f"{first} and {other} do not differ significantly",
            }[verdict(low, high)]
            points = f"{found['points']:+.2f} points ({low:+.2f} to {high:+.2f})"
            lines.append(f"- {name.upper()}, {pair}: {points}: {result}.")
    return lines


def _known_labels(name: str, heads: dict[str, Any], adapter: dict[str, Any]) -> str:
    labels = list(heads[BIMORS]["by class"])
    known = sum(label in adapter["labels"] for label in labels)
    return f"The adapter was trained with {known} of the {len(labels)} class names of {name.upper()}."


def _by_class(name: str, heads: dict[str, Any], captions: dict[str, Any]) -> str:
    return table(
        [
            {
                f"{name} class": kind,
                "images": part["of"],
                **{
                    f"{head}, % (95 %)": _percent(heads[head]["by class"][kind])
                    for head in (ZERO_SHOT, BIMORS, NO_CAPTIONS)
                },
                **({"caption names the class, % (95 %)": _percent(captions[kind])} if captions else {}),
            }
            for kind, part in heads[BIMORS]["by class"].items()
        ]
    )


def _speed(speed: dict[str, Any]) -> str:
    return table(
        [
            {
                "run": mode,
                "images/s": speed[mode]["pictures a second"],
                **{f"{part}, ms/image": ms for part, ms in speed[mode]["milliseconds a picture"].items()},
            }
            for mode in ("with captions", "without captions")
        ]
    )
