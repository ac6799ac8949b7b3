"""Plots of the report: training curves and confusion matrices."""

from collections.abc import Mapping, Sequence

from actionrec.utils.pages import plain, svg_url


def plot_history(history: Sequence[Mapping[str, str]]) -> str:
    """Draw loss and accuracy over the epochs of history.csv; return the plot as a data URL."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("loss", "acc"), strict=True):
        for part, style in (("train", "--"), ("val", "-")):
            points = [
                (int(row["epoch"]) + 1, float(row[f"{part}_{what}"]))
                for row in history
                if row[f"{part}_{what}"]
            ]
            if points:
                axes.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=part)
                axes.legend()
        axes.set_xlabel("epoch")
        axes.set_ylabel({"loss": "loss", "acc": "accuracy (%)"}[what])
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
    return svg_url(figure)


def plot_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw a confusion matrix, rows true and columns predicted; return it as a data URL."""
    from matplotlib.figure import Figure

    size = min(14.0, 2.2 + 0.45 * len(labels))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    # Colours by row, so that a class with few videos is as readable as one with many.
    shares = [[n / max(1, sum(row)) for n in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = list(map(plain, labels))
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for y, row in enumerate(matrix):
        for x, count in enumerate(row):
            if count:
                # The scale ends in dark blue.
                color = "white" if shares[y][x] > 0.5 else "black"
                axes.text(x, y, str(count), ha="center", va="center", color=color, fontsize=8)
    return svg_url(figure)
