"""The card of an adapter: what it was trained on, what it is worth, how it is used."""

from __future__ import annotations

from collections.abc import Mapping

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.metrics.scores import Proportion, Scores


def card(
    adapter: Adapter, scores: Mapping[str, Mapping[str, Scores]], charts: Mapping[str, str], bundle: Bundle
) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    adapter : Adapter
        As it is on disk.
    scores : mapping
        By part (``validation``, ``test``) and head.
    charts : mapping of str to str
        File names in the folder and what they show.
    bundle : Bundle
        That it was trained with.
    """
    lines = [
        f"# {adapter.name}",
        "",
        f"An adapter for bimors: the head {adapter.kind}, trained on top of the bundle {bundle.name}.",
        "It answers with that bundle only, in the version that it was trained with.",
        "",
        f"    bimors classify scene.tif --labels labels.txt --adapter {adapter.name} -o out.gpkg",
        "",
        "## Classes",
        "",
        ", ".join(adapter.labels),
        "",
        "## Training",
        "",
        *(f"- {key}: {value}" for key, value in adapter.training.items()),
        f"- temperature of the confidence: {adapter.temperature:.3f}",
        "",
    ]
    for part, heads in scores.items():
        count = next(iter(heads.values())).accuracy.total
        lines += [f"## On {part} ({count} pictures)", ""]
        if part == "validation":
            lines += ["It chose the epoch and the temperature: new pictures will do a little worse.", ""]
        lines += ["| head | right (95 % interval) | macro F1 | calibration error |", "|---|---|---|---|"]
        lines += [
            f"| {head} | {_share(s.accuracy)} | {s.macro_f1:.3f} | {100 * s.calibration_error:.1f} points |"
            for head, s in heads.items()
        ]
        names = list(heads)
        lines += ["", "| class | pictures | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
        for i, label in enumerate(adapter.labels):
            shares = [heads[name].by_class[i] for name in names]
            lines.append(f"| {label} | {shares[0].total} | " + " | ".join(_share(share) for share in shares) + " |")
        lines.append("")
    lines += [f"![{told}]({file})\n" for file, told in charts.items()]
    return "\n".join(lines).rstrip() + "\n"


def _share(share: Proportion) -> str:
    if not share.total:
        return "-"
    low, high = share.interval
    return f"{100 * share.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
