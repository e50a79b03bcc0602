"""The training runs of each study in docs/results.md.

`STUDIES` names, for each study, the function that lists its runs. Seeds vary slowest,
so that an interrupted study has all settings of its first seeds.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

RECIPES = {"paper": "tools/paper.flags", "cuda_convnet": "tools/cuda_convnet.flags"}
SMALL_NETS = ("cifar10_11pct", "cifar10_11pct_no_lrn")
SEEDS = (0, 1, 2)
BATCH_SIZES = (32, 128)
DROPOUTS = ("original", "inverted")
PRECISIONS = ("float32", "bfloat16")
START_STEPS = 300
# Of Fashion-MNIST, four that are hard to tell apart: t-shirt, pullover, coat and shirt.
# The other six are trousers, dresses, sandals, sneakers, bags and ankle boots.
TOPS = (0, 2, 4, 6)
TRANSFERRED_STEPS = 240
TRANSFER_ERRORS = (50, 45, 42)  # percent
STARTS = {"tuned": "pre-trained on other classes", "scratch": "from scratch"}
# 3.2 epochs, which two AVX512-BF16 cores finish in three quarters of an hour.
CURVE_STEPS = 1500


class Run(NamedTuple):
    """One training run of a study.

    In `flags`, `{work}` stands for the folder that holds the prepared images.
    `evaluated` runs are also evaluated on the test images after training, and the folder
    of `kept` runs stays, for later runs that start from it.
    """

    name: str
    flags: tuple[str, ...]
    evaluated: bool = False
    kept: bool = False

    @property
    def seed(self) -> int:
        """The seed of the run, which its name ends with if it is not 0."""
        return int(self.name.rpartition("-seed")[2] if "-seed" in self.name else 0)

    @property
    def setting(self) -> str:
        """Its name without the seed, unless other seeds have other flags."""
        alone = any(f"-seed{self.seed}" in flag for flag in self.flags)
        return self.name if alone else self.name.rpartition("-seed")[0] or self.name


def settings(runs: Iterable[Run]) -> dict[tuple[str, ...], list[Run]]:
    """Groups runs by their flags, without the seed: each group is one `study`."""
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        shared = tuple(flag for flag in run.flags if not flag.startswith("--seed="))
        found.setdefault(shared, []).append(run)
    return found


def curves() -> Iterator[Run]:
    """Both recipes on all images, for 3.2 epochs of 468 steps.

    The learning rate drops and color noise ends after 2.6 epochs, four fifths of the
    run.
    """
    ends = ("--drop_epochs=2.6", "--color_noise_end_epoch=2.6")
    fixed = ("--bias_drop_epochs=2.6", "--conv1_drop_epoch=inf")
    for recipe in RECIPES:
        flags = (
            *_full_net(recipe, "bfloat16"),
            *(*ends, *fixed, "--conv1_freeze_epoch=inf"),
            f"--max_steps={CURVE_STEPS}",
        )
        yield Run(recipe, flags, evaluated=True)


def start() -> Iterator[Run]:
    """The first steps of both recipes, with both conventions of dropout, in bfloat16.

    The runs of seed 0 with the original dropout and batches of 128 are left out,
    because they are the beginnings of `curves`.
    """
    for batch_size, seed, recipe, dropout in itertools.product(
        BATCH_SIZES, SEEDS, RECIPES, DROPOUTS
    ):
        if (batch_size, seed, dropout) != (128, 0, "original"):
            flags = _first_steps(recipe, "bfloat16", seed, batch_size)
            yield Run(
                f"{recipe}-{dropout}-{batch_size}-seed{seed}",
                (*flags, f"--dropout={dropout}"),
            )


def precision() -> Iterator[Run]:
    """Runs of `start` with original dropout and batches of 32, but in float32."""
    for seed, recipe in itertools.product(SEEDS, RECIPES):
        flags = _first_steps(recipe, "float32", seed, batch_size=32)
        yield Run(f"{recipe}-original-32-seed{seed}", (*flags, "--dropout=original"))


def kernels() -> Iterator[Run]:
    """The runs of `precision` in both types, with the fastest convolutions."""
    for seed, recipe, kind in itertools.product(SEEDS, RECIPES, PRECISIONS):
        flags = _first_steps(recipe, kind, seed, batch_size=32)
        yield Run(f"{recipe}-{kind}-seed{seed}", flags)


def lrn() -> Iterator[Run]:
    """The small net with and without its two LRN layers."""
    for seed, net in itertools.product(SEEDS, SMALL_NETS):
        flags = (
            "--flagfile=tools/cifar10_11pct.flags",
            *(f"--architecture={net}", f"--seed={seed}"),
            *("--dataset={work}/fashion-32", "--validation=end"),
            *("--epochs=3", "--drop_epochs=2.4,2.7"),
        )
        yield Run(f"{net}-seed{seed}", flags, evaluated=True)


def transfer() -> Iterator[Run]:
    """The recipes of net "1 CNN*" in small: pre-training, then fine-tuning.

    The net with a sixth convolution learns six classes of 1,600 images. Then it learns
    the other four from 250 images each, beside a net that starts anew with the recipe of
    pre-training.
    """
    small = ("--tower_devices=auto", "--precision=auto", "--batch_size=32")
    ends = ("--schedule=epochs", "--drop_epochs=", "--bias_drop_epochs=")
    pretraining = ("--flagfile=tools/pretrain2011.flags", *small, *ends)
    tops = (
        *("--dataset={work}/fashion-tops", "--color_noise_end_epoch=inf"),
        *(f"--max_steps={TRANSFERRED_STEPS}", "--validate_epochs=1"),
    )
    for seed in SEEDS:
        yield Run(
            f"pretrained-seed{seed}",
            (
                *(*pretraining, "--dataset={work}/fashion-others"),
                *("--max_steps=300", "--validation=end", f"--seed={seed}"),
            ),
            kept=True,
        )
        yield Run(
            f"tuned-seed{seed}",
            (
                *("--flagfile=tools/fine_tune2012.flags", *small, *ends, *tops),
                *("--weights={work}/transfer/pretrained/" + f"run-seed{seed}",),
                f"--seed={seed}",
            ),
        )
        yield Run(f"scratch-seed{seed}", (*pretraining, *tops, f"--seed={seed}"))


STUDIES: dict[str, Callable[[], Iterator[Run]]] = {
    "curves": curves,
    "start": start,
    "precision": precision,
    "kernels": kernels,
    "lrn": lrn,
    "transfer": transfer,
}


def _full_net(recipe: str, kind: str) -> tuple[str, ...]:
    """Flags that train a recipe's full net on Fashion-MNIST at 256 pixels."""
    return (
        *(f"--flagfile={RECIPES[recipe]}", "--dataset={work}/fashion-256"),
        *("--tower_devices=auto", "--schedule=epochs", f"--precision={kind}"),
    )


def _first_steps(recipe: str, kind: str, seed: int, batch_size: int) -> tuple[str, ...]:
    """Flags for the first START_STEPS steps of a recipe, without validation."""
    return (
        *_full_net(recipe, kind),
        *(f"--seed={seed}", "--validation=never", f"--batch_size={batch_size}"),
        f"--max_steps={START_STEPS}",
    )
