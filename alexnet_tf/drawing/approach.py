"""How fast the training error falls: the form of figure 1 of the paper."""

from collections.abc import Mapping, Sequence

from alexnet_tf.drawing import canvas
from alexnet_tf.drawing.figure import Figure

# (passes, training top-1 error in percent) of one run, in order.
Curve = Sequence[tuple[float, float]]


@canvas.styled()
def draw(settings: Sequence[tuple[str, Mapping[int, Curve]]], limit: float) -> Figure:
    """Draws the training error against passes: a color per setting, a line per seed.

    Args:
        settings: (label, curve of each seed).
        limit: the error in percent that is drawn as a dashed line, as 25 in figure 1.
    """
    picture = canvas.new_picture(6, 4)
    axes = picture.subplots()
    lines = []
    for number, (label, by_seed) in enumerate(settings):
        for curve in by_seed.values():
            passes, errors = zip(*curve, strict=True)
            color = canvas.COLORS[number % len(canvas.COLORS)]
            axes.plot(passes, errors, color=color, linewidth=1, label=label)
            label = "_nolegend_"
        last = [f"{curve[-1][1]:.1f}" for curve in by_seed.values() if curve]
        lines.append(f"{settings[number][0]}: {', '.join(last)} % at the end")
    axes.axhline(limit, color=canvas.GRAY, linestyle="--")
    axes.set(xlabel="passes", ylabel="training top-1 error, %", ylim=(0, None))
    axes.set_xlim(left=0)
    # Above the chart, where no curve is.
    picture.legend(loc="outside upper left", ncols=2)
    return Figure(
        name="approach",
        picture=picture,
        caption="Training error against passes over the training images, one line per "
        f"seed; dashed: {limit:g} %.",
        alternative="; ".join(lines) + ".",
        data={
            "limit": limit,
            "settings": [
                {
                    "label": label,
                    "by_seed": {str(s): list(c) for s, c in curves.items()},
                }
                for label, curves in settings
            ],
        },
    )
