"""The card's words around the measured numbers."""

from __future__ import annotations

from typing import Any

TEXT = """# mini: the bundle that comes with bimors

Three small models trained from nothing on two sets of aerial pictures, and a prompt learner on top. It makes the
program run at once, without a network, on two processor cores. It is a small model: for wide label lists, other
sensors or a last word on quality, bring a full-size CLIP.

| part | what | on disk |
|---|---|---|
{parts}
| all | | {megabytes} MB |

Weights are float16 on disk and float32 in use. All of this file's numbers are in `metrics.json`, measured by
`weights/build_mini.py card`.

## Data and terms

- RSICD: 10,000 pictures of 30 classes, those of AID, five sentences each. Used for CLIP, captioner, caption encoder and
  adapter. Research use; cite Lu et al. 2018 (RSICD) and Xia et al. 2017 (AID).
- RSSCN7: 2,800 pictures of 7 classes. Used for CLIP and the captioner's vision. Licence not stated; cite Zou et al.
  2015.
- RSITMD: 23,715 sentences, no pictures. Used for caption encoder and tokenizers. Licence not stated; cite Yuan et al.
  2022.

The pictures are Google Earth imagery; none of them is here. Weights learned from them are meant for research use.

Split: RSICD by the benchmark's file (train {train}, val {val}, test {test}; {shots} + {fitting} other pictures
of val are held out of every frozen model for the adapter and its temperature). RSSCN7 by a hash of the file name
(train {train7}, val {val7}, test {test7}). Training pictures that are pixel for pixel in a held-out part were left out.
Test pictures and their sentences were looked at for this card alone.
What was chosen was chosen on validation pictures{final_note}.

## Test pictures that no part ever saw

| set | head | right, % | 95 % interval | calibration error before | after |
|---|---|---|---|---|---|
{accuracy}

Calibration error: expected, 15 bins, in points; the temperature was fitted on {fitting} held-out RSICD pictures
(zero-shot {cold:.3f}, bimors {cold_bimors:.3f}), so on RSSCN7 it is a transfer. The RSICD adapter answers for RSSCN7's
names as it is, without having been trained for them. It adds nothing to a
CLIP that learned from more than a hundred pictures of each of these classes: compare the rows of the two heads.

By class, zero-shot head and bimors head, and captions:

| RSICD class | pictures | zero-shot, % (95 %) | bimors, % (95 %) | caption names it, % |
|---|---|---|---|---|
{by_class}

| RSSCN7 class | pictures | zero-shot, % (95 %) | bimors, % (95 %) |
|---|---|---|---|
{by_class7}

Most confused on RSICD (zero-shot): {confused}.

## Captions

{named} of the test captions name the class or a synonym (list of stems in `metrics.json`; matched from the start of a
word). The same measure passes {human} of the first human captions, and {blind} of captions that were made for another,
random picture. BLEU-4 against the human captions: {bleu}. {distinct} different sentences on {test} pictures,
{empty} empty. The captioner learned only from sentences that end within 15 tokens and name the class.

| test picture | mini says |
|---|---|
{examples}

## Speed

Batches of {batch} on {threads} threads of the building machine, float32: {speed} pictures a second with captions,
before the head. Milliseconds a picture: {milliseconds}.

## Image towers tried

Equal training time, learning from train, measured on validation. Short runs: they tell which learns fastest. The
machine was shared with other work; `steps` says how much each got done.

{tried}

## Training

{training}

Held out: the {held} pictures of the adapter, equally many of each class. A run may be the continuation of another of
its name; the captioner learned to see and began to speak (`captioner`), then, with its vision fixed, went on speaking
(`captioner-speech`).

{notes}

## What it does not know

- It knows {vocabulary} words (`vocabulary.json`). The program warns of others by name; to mini they are noise.
- It saw true-colour pictures from above, between about half a metre and eight metres a pixel at their first size.
  Oblique photographs, single bands, radar, false colour and coarse satellite pixels are not what it learned.
- Worst on RSICD's test pictures (zero-shot): {worst}. `square` is a city square, `center` a hall in a city's centre.
- A caption is a plausible sentence of RSICD's kind. It does not count, and it says "many" and "some" out of habit.

## Build it again

    python weights/build_mini.py all --imagery PATH/imagery --splits PATH/splits --final --seed {seed}

Runs are seeded; a stage that was cut off goes on from its last whole epoch. On a processor with AMX or on a GPU
training is in bfloat16, elsewhere in float32: equal in kind, not bit for bit. A run that is ended by `--minutes`
depends on the clock; the shipped weights were made so (minutes in the table above).
"""


def _share(value: dict[str, Any]) -> str:
    return f"{value['per cent']:.1f} ({value['95 %'][0]:.1f} to {value['95 %'][1]:.1f})"


def card(metrics: dict[str, Any]) -> str:
    """The card of the bundle that these numbers were measured on."""
    test, captions, split = metrics["test"], metrics["captions"], metrics["split"]
    kinds = {
        "clip": "open_clip, {trunk}, text tower of 3 layers, 77 tokens",
        "captioner": "BLIP-2: ViT, Q-Former, T5",
        "caption_encoder": "BERT of 3 layers",
        "adapter": "BiMoRS prompt learner, 30 RSICD classes",
    }
    accuracy = [
        f"| {name.upper()} ({rows['accuracy']['of']} pictures) | {head} | {rows['accuracy']['per cent']:.2f} | "
        f"{rows['accuracy']['95 %'][0]:.1f} to {rows['accuracy']['95 %'][1]:.1f} | "
        f"{rows['calibration error before']:.1f} | {rows['calibration error after']:.1f} |"
        for name, heads in test.items()
        for head, rows in heads.items()
    ]

    def by_class(name: str, more: dict[str, Any] | None) -> str:
        plain, tuned = (test[name][head]["by class"] for head in ("zero-shot", "bimors"))
        return "\n".join(
            f"| {kind} | {plain[kind]['of']} | {_share(plain[kind])} | {_share(tuned[kind])} |"
            + (f" {more[kind]['per cent']:.1f} |" if more else "")
            for kind in plain
        )

    worst = sorted(test["rsicd"]["zero-shot"]["by class"].items(), key=lambda row: row[1]["per cent"])
    return TEXT.format(
        parts="\n".join(
            f"| `{k}/` | {v.format(trunk=metrics['image tower'])} | {metrics['size'][k]} MB |" for k, v in kinds.items()
        ),
        megabytes=metrics["size"]["all"],
        final_note="; then the models learned from train and the rest of val"
        if metrics["learned with validation pictures"]
        else "",
        train=split["rsicd"]["train"],
        val=split["rsicd"]["val"],
        test=split["rsicd"]["test"],
        notes=metrics["notes"],
        held=split["rsicd"]["shots"] + split["rsicd"]["fitting"],
        shots=split["rsicd"]["shots"],
        fitting=split["rsicd"]["fitting"],
        train7=split["rsscn7"]["train"],
        val7=split["rsscn7"]["val"],
        test7=split["rsscn7"]["test"],
        accuracy="\n".join(accuracy),
        cold=metrics["temperature"]["zero-shot"],
        cold_bimors=metrics["temperature"]["bimors"],
        by_class=by_class("rsicd", captions["by class"]),
        by_class7=by_class("rsscn7", None),
        confused=", ".join(f"{a} taken for {b} ({n})" for a, b, n in test["rsicd"]["zero-shot"]["most confused"]),
        worst=", ".join(f"{k} {v['per cent']:.0f} %" for k, v in worst[:6]),
        named=_share(captions["names the class"]) + " %",
        human=_share(captions["first human caption names the class"]) + " %",
        blind=_share(captions["caption of a random other picture names the class"]) + " %",
        bleu=captions["BLEU-4"],
        distinct=captions["distinct"],
        empty=captions["empty"],
        examples="\n".join(f"| {a} | {b} |" for a, b in captions["examples"]),
        batch=metrics["seconds"]["batch"],
        threads=metrics["seconds"]["threads"],
        speed=metrics["seconds"]["pictures a second"],
        milliseconds=", ".join(f"{k} {v}" for k, v in metrics["seconds"]["milliseconds a picture"].items()),
        tried=_table(metrics["image towers tried"]),
        training=_table(metrics["training runs"]),
        vocabulary=metrics["vocabulary"],
        seed=metrics["seed"],
    )


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "(not run)"
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(str(row.get(h, "")) for h in heads) + " |" for row in rows])
