"""How a number differs between the settings of a study, and between seeds."""

from collections.abc import Mapping, Sequence

from alexnet_tf.drawing import canvas
from alexnet_tf.drawing.figure import Figure

_ROW = 0.42  # inches


@canvas.styled()
def draw(
    settings: Sequence[tuple[str, Mapping[int, float | None]]], measure: str
) -> Figure:
    """Draws a row per setting: a dot per seed, and a line at their mean.

    Args:
        settings: (label, value of each seed); a seed without a value is not drawn.
        measure: what the values are, with their unit.
    """
    picture = canvas.new_picture(7, 1 + _ROW * len(settings))
    axes = picture.subplots()
    lines = []
    for row, (label, by_seed) in enumerate(settings):
        known = [value for value in by_seed.values() if value is not None]
        heights = [row + 0.1 * (n - (len(known) - 1) / 2) for n in range(len(known))]
        axes.plot(known, heights, "o", color=canvas.COLORS[0], markersize=5)
        if known:
            mean = sum(known) / len(known)
            axes.plot([mean, mean], [row - 0.3, row + 0.3], color=canvas.COLORS[1])
            lines.append(f"{label}: mean {mean:.2f} of {len(known)} seeds")
        if missing := len(by_seed) - len(known):
            lines.append(f"{label}: {missing} of {len(by_seed)} seeds never reached it")
    axes.set_yticks(range(len(settings)), [label for label, _ in settings])
    axes.set_ylim(len(settings) - 0.5, -0.5)
    axes.set_xlabel(measure)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    return Figure(
        name="spread",
        picture=picture,
        caption=f"{measure}: one dot per seed, and a line at the mean of each setting.",
        alternative="; ".join(lines) + ".",
        data={
            "measure": measure,
            "settings": [
                {"label": label, "by_seed": {str(s): v for s, v in by_seed.items()}}
                for label, by_seed in settings
            ],
        },
    )
