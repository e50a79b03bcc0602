"""Which trainings a study consists of. No TensorFlow.

factors = [factor_of("architecture=cuda_convnet,no_lrn")]
plan = Plan(("--dataset=data/mine",), factors, seeds=(0, 1), output="studies/lrn")
[run.name for run in plan.runs()]
"""

import dataclasses
import itertools
import os
import pathlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from absl import flags

from alexnet_tf.models import zoo
from alexnet_tf.runtime import flag_files, options
from alexnet_tf.training import train_options

FLAGS_FILE = "study.flags"  # in the folder of the study: what all trainings have

# Options of `train` that belong to the study, or to a single process.
_OF_THE_STUDY = {
    "seed": "the seeds are those of --seeds",
    "run_dir": "every run has a folder below --output",
    "resume": "a study always continues its runs",
    "overfit_one_batch": "nothing is trained then",
}
_FOR_ALL = dict.fromkeys(
    ("logical_cpus", "logical_gpus", "strategy", "data_dir", "manual_dir"),
    "it can only be the same for all runs",
)


@dataclasses.dataclass(frozen=True)
class Factor:
    """A flag of `train` and the values that it takes, as a flag file writes them."""

    flag: str
    values: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes:
        name: of its folder.
        values: of the flags that vary, by flag.
        seed: of all that is random.
    """

    name: str
    values: Mapping[str, str]
    seed: int

    @property
    def setting(self) -> tuple[str, ...]:
        """What it shares with the runs of the other seeds."""
        return tuple(self.values.values())


def factor_of(text: str) -> Factor:
    """Returns what --vary says: FLAG=VALUE,VALUE or FLAG=VALUE;VALUE.

    Semicolons separate the values if one of them contains a comma.

    Raises ValueError if it says something else, or a value twice.

    Example:
        >>> factor_of("drop_epochs=8,10;9")
        Factor(flag='drop_epochs', values=('8,10', '9'))
        >>> factor_of("without=,lrn").values
        ('', 'lrn')
    """
    flag, equals, listed = text.partition("=")
    flag = flag.strip().lstrip("-")
    values = tuple(v.strip() for v in listed.split(";" if ";" in listed else ","))
    if not equals or not flag:
        raise ValueError(
            f"--vary={text}: expected a flag of train and its values, as "
            "--vary=learning_rate=0.01,0.001"
        )
    for value in values:
        if values.count(value) > 1:
            raise ValueError(
                f"--vary={text}: {value or 'the empty value'} occurs twice"
            )
    return Factor(flag, values)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All trainings of a study.

    Attributes:
        common: the flags of all trainings, each as --name=value.
        factors: what varies, the first one slowest.
        seeds: of which each setting is trained with every one.
        output: the folder of the study.
    """

    common: tuple[str, ...]
    factors: tuple[Factor, ...]
    seeds: tuple[int, ...]
    output: str

    def runs(self) -> list[Run]:
        """Every training, seeds slowest.

        So a study that is stopped has all settings of its first seeds.
        """
        names = self._names()
        return [
            Run(f"{names[setting]}-seed{seed}", self._values(setting), seed)
            for seed in self.seeds
            for setting in names
        ]

    def run_dir(self, run: Run) -> pathlib.Path:
        return pathlib.Path(self.output) / run.name

    def part(self, number: int, count: int) -> list[Run]:
        """The runs of part `number`, from 1, of `count`: every `count`-th one."""
        return self.runs()[number - 1 :: count]

    def flags_of(self, run: Run) -> list[str]:
        """All that `train` is given, without a file for the common flags."""
        return self._flags_of(run, self.common)

    def command_of(self, run: Run) -> list[str]:
        """The arguments of `python -m alexnet_tf.train` for a run."""
        return self._flags_of(
            run, [f"--flagfile={pathlib.Path(self.output) / FLAGS_FILE}"]
        )

    def _flags_of(self, run: Run, common: Sequence[str]) -> list[str]:
        varied = {f: f"--{f}={value}" for f, value in run.values.items()}
        recipe = varied.pop("flagfile", None)  # the common flags win over it
        return [
            *([recipe] if recipe else []),
            *common,
            *varied.values(),
            f"--seed={run.seed}",
            f"--run_dir={self.run_dir(run)}",
            "--resume",
        ]

    def shell_commands(self) -> str:
        """All commands, one per line, as a shell reads them."""
        return "".join(
            f"python -m alexnet_tf.train {shlex.join(self.command_of(run))}\n"
            for run in self.runs()
        )

    def check(self) -> None:
        """Raises ValueError if one of the trainings has options that `train` refuses."""
        for factor in self.factors:
            if why := (_OF_THE_STUDY | _FOR_ALL).get(factor.flag):
                raise ValueError(f"--vary={factor.flag}=... is not possible: {why}")
        flags_varied = [factor.flag for factor in self.factors]
        for flag in flags_varied:
            if flags_varied.count(flag) > 1:
                raise ValueError(
                    f"--vary names {flag} twice: list all its values in one --vary"
                )
        for run in self.runs():
            self._check_run(run)
        # After what is wrong with the flag itself, which such advice would repeat.
        for factor in self.factors:
            if len(factor.values) < 2:
                given = f"{factor.flag}={factor.values[0]}"
                raise ValueError(
                    f"--vary={given}: one value does not vary. Give --{given} to all "
                    f"runs, or two values or more, as --vary={given},..."
                )

    def _check_run(self, run: Run) -> None:
        try:
            chosen = options.parse(train_options.TrainOptions, self.flags_of(run))
            train_options.refuse_contradictions(chosen)
            train_options.refuse_unread_options(chosen)
            if chosen.start.weights is None:  # which may bring a net of their own
                name = chosen.net.architecture or zoo.DEFAULT_TO_TRAIN
                train_options.net_of(dataclasses.replace(chosen.net, architecture=name))
            _refuse_no_dataset(chosen.data.dataset)
        except (flags.Error, ValueError, FileNotFoundError) as error:
            varied = [f"--{flag}={value}" for flag, value in run.values.items()]
            where = f"the run with {' '.join(varied)}: " if varied else ""
            raise ValueError(f"{where}{error}") from None
        if chosen.replicas.strategy == "multi_worker":
            raise ValueError(
                "--strategy=multi_worker needs a command on every machine: divide a "
                "study among machines by --part=1/2, --part=2/2 instead"
            )

    def _values(self, setting: tuple[str, ...]) -> dict[str, str]:
        return {
            factor.flag: value
            for factor, value in zip(self.factors, setting, strict=True)
        }

    def _names(self) -> dict[tuple[str, ...], str]:
        """The names of all settings, which differ although some letters are replaced."""
        found: dict[tuple[str, ...], str] = {}
        for setting in itertools.product(*(factor.values for factor in self.factors)):
            parts = [
                f"{flag}={_printable(value)}"
                for flag, value in self._values(setting).items()
            ]
            name = stem = ("_".join(parts) or "run")[:_LONGEST_NAME]
            number = 2
            while name in found.values():
                name = f"{stem}_{number}"
                number += 1
            found[setting] = name
        return found


def _refuse_no_dataset(dataset: str) -> None:
    """Raises FileNotFoundError for what is neither a source nor a prepared dataset."""
    # They import NumPy, which --help does not need.
    from alexnet_tf.data import prepared_dataset, sources

    try:
        sources.name_of(dataset)
    except ValueError:
        prepared_dataset.read_description(dataset)


_LONGEST_NAME = 150  # most file systems allow 255 bytes


def _printable(value: str) -> str:
    """A value without what a folder's name or a list of checkpoints cannot hold."""
    return re.sub(r"[^\w.+-]+", "+", value) or "none"


def common_flags(values: flags.FlagValues) -> tuple[str, ...]:
    """The given flags of `train` among parsed flags.

    Raises ValueError for a flag that a study sets itself.
    """
    names = [
        options.flag_name(field)
        for _, field in options.fields_of(train_options.TrainOptions)
    ]
    given = options.given(values)
    for name, why in _OF_THE_STUDY.items():
        if name in given:
            raise ValueError(f"a study does not take --{name}, because {why}")
    chosen = options.values_of(options.collect(train_options.TrainOptions, values))
    return tuple(
        f"--{name}={options.text_of(chosen[name])}" for name in names if name in given
    )


def part_of(text: str) -> tuple[int, int]:
    """Returns (number, count) of --part=1/4.

    Raises ValueError if it is not a whole number of at least 1 and at most the second.
    """
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError(
            f"--part={text}: expected the number of this part and that of all parts, as "
            "--part=1/4"
        )
    return int(match[1]), int(match[2])


def recorded_flags(output: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """The common flags of the study in a folder; None if there is none."""
    path = pathlib.Path(output) / FLAGS_FILE
    return tuple(map(str, flag_files.lines_of(path))) if path.exists() else None


def differing(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    """Yields what differs between the flags of two studies, one sentence per flag."""
    one, other = ({f.partition("=")[0]: f for f in listed} for listed in (before, now))
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield (
                f"it was begun with {one.get(name, f'no {name}')}, and now it is "
                f"{other.get(name, f'no {name}')}"
            )
