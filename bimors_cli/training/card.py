"""The model card of an adapter: training data, scores, usage."""

from __future__ import annotations

from collections.abc import Mapping

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.metrics.scores import Proportion, Scores


def card(
    adapter: Adapter, scores: Mapping[str, Mapping[str, Scores]], charts: Mapping[str, str], bundle: Bundle
) -> str:
    """Format the model card as Markdown.

    Parameters
    ----------
    adapter : Adapter
        The adapter as read from disk.
    scores : mapping
        Scores by split (``validation``, ``test``) and head.
    charts : mapping of str to str
        Titles of the charts by file name.
    bundle : Bundle
        The bundle that the adapter was trained with.
    """
    lines = [
        f"# {adapter.name}",
        "",
        f"Adapter for bimors: the head {adapter.kind}, trained with the bundle {bundle.name}.",
        "It only works with that bundle, in the version that it was trained with.",
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
        f"- calibration temperature: {adapter.temperature:.3f}",
        "",
    ]
    for split, heads in scores.items():
        count = next(iter(heads.values())).accuracy.total
        lines += [f"## Accuracy on {split} ({count} images)", ""]
        if split == "validation":
            lines += [
                "The epoch and the temperature were selected on these images: scores on new images are slightly lower.",
                "",
            ]
        lines += ["| head | accuracy (95 % interval) | macro F1 | calibration error |", "|---|---|---|---|"]
        lines += [
            f"| {head} | {_percent(s.accuracy)} | {s.macro_f1:.3f} | {100 * s.calibration_error:.1f} points |"
            for head, s in heads.items()
        ]
        names = list(heads)
        lines += ["", "| class | images | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
        for i, label in enumerate(adapter.labels):
            accuracies = [heads[name].by_class[i] for name in names]
            lines.append(f"| {label} | {accuracies[0].total} | " + " | ".join(map(_percent, accuracies)) + " |")
        lines.append("")
    lines += [f"![{title}]({file})\n" for file, title in charts.items()]
    return "\n".join(lines).rstrip() + "\n"


def _percent(accuracy: Proportion) -> str:
    if not accuracy.total:
        return "-"
    low, high = accuracy.interval
    return f"{100 * accuracy.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
