"""The numbers of the paper and of the 2012 program's logs, as data.

"P" is the paper. The logs are the footers of the files `layers/layer-params-N.cfg` in
the 2012 program's repository. Errors are in percent.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

ILSVRC2010, ILSVRC2012 = "ilsvrc2010", "imagenet2012"


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table of the paper.

    Attributes:
        name: as the paper calls it.
        paper: its numbers in the paper; "" if there is none.
        log: those in the 2012 program's log; "" if there is none.
        command: what makes the row's number here; "" if nothing does.
        cost: what it costs, or cost in 2012.
        architectures: of nets that belong into this row.
        dataset, split: on which they are measured.
        nets: how many of them are averaged.
        fine_tuned: whether they start from the weights of another run.
    """

    name: str
    paper: str
    log: str = ""
    command: str = ""
    cost: str = ""
    architectures: tuple[str, ...] = ()
    dataset: str = ""
    split: str = ""
    nets: int = 1
    fine_tuned: bool = False


_NETS = ("paper", "cuda_convnet")
_IN_2012 = "90 passes; in 2012 five to six days on two GTX 580"


def _averaged(count: int) -> str:
    names = ",".join(f"runs/{n}" for n in range(count))
    return f"evaluate --checkpoint={names} --output=average.json"


TABLE1 = (
    Row("sparse coding", "47.1 / 28.2"),
    Row("SIFT + Fisher vectors", "45.7 / 25.7"),
    Row(
        "CNN",
        "37.5 / 17.0",
        "37.47 / 17.00",
        "train --flagfile=tools/cuda_convnet.flags --dataset=ilsvrc2010",
        _IN_2012,
        _NETS,
        ILSVRC2010,
        "test",
    ),
)

TABLE2 = (
    Row("SIFT + Fisher vectors", "\u2013 / \u2013 / 26.2"),
    Row(
        "1 CNN",
        "40.7 / 18.2 / \u2013",
        "40.66 / 18.21",
        "train --flagfile=tools/cuda_convnet.flags",
        _IN_2012,
        _NETS,
        ILSVRC2012,
        "validation",
    ),
    Row(
        "5 CNNs",
        "38.1 / 16.4 / 16.4",
        "",
        _averaged(5),
        "five times 1 CNN",
        _NETS,
        ILSVRC2012,
        "validation",
        nets=5,
    ),
    Row(
        "1 CNN*",
        "39.0 / 16.6 / \u2013",
        "38.99 / 16.62",
        "train --flagfile=tools/fine_tune2012.flags --weights=runs/pretrain2011",
        "fine-tuning, after pre-training on 15 million images",
        ("conv6",),
        ILSVRC2012,
        "validation",
        fine_tuned=True,
    ),
    Row(
        "7 CNNs*",
        "36.7 / 15.4 / 15.3",
        "",
        _averaged(7),
        "five times 1 CNN and twice 1 CNN*",
        (*_NETS, "conv6"),
        ILSVRC2012,
        "validation",
        nets=7,
    ),
)


@dataclasses.dataclass(frozen=True)
class Ablation:
    """What the paper says about leaving something out.

    Attributes:
        name: what is left out.
        section: of the paper.
        paper: the change of the errors in the paper, top-1 / top-5.
        log: the same according to the logs.
        vary: the `--vary` of `study` that measures it.
        changes: the flags of `train` that leave it out, in each of the possible ways:
            by flag, the values in the whole net and the one without.
        flags: of the study on the paper's images.
    """

    name: str
    section: str
    paper: str
    log: str
    vary: tuple[str, ...]
    changes: tuple[Mapping[str, tuple[tuple[Any, ...], Any]], ...]
    flags: tuple[str, ...] = ("--flagfile=tools/cuda_convnet.flags",)


def _of_architecture(*pairs: tuple[str, str]):
    return tuple({"architecture": ((whole,), without)} for whole, without in pairs)


def _without(part: str):
    return ({"without": (((),), (part,))},)


ABLATIONS = (
    Ablation(
        "LRN",
        "3.3",
        "+1.4 / +1.2",
        "+1.37 / +1.15",
        ("without=,lrn",),
        (
            *_without("lrn"),
            *_of_architecture(
                ("cuda_convnet", "no_lrn"), ("cifar10_11pct", "cifar10_11pct_no_lrn")
            ),
        ),
    ),
    Ablation(
        "overlap of the pooling windows",
        "3.4",
        "+0.4 / +0.3",
        "+0.39 / +0.30",
        ("without=,overlap",),
        (*_without("overlap"), *_of_architecture(("cuda_convnet", "pool2x2"))),
    ),
    Ablation(
        "second GPU",
        "3.2",
        "+1.7 / +1.2",
        "+1.70 / +1.23",
        ("without=,tower",),
        (*_without("tower"), *_of_architecture(("cuda_convnet", "one_gpu"))),
    ),
    Ablation(
        "exchange between the towers",
        "3.2",
        "",
        "",
        ("without=,exchange",),
        _without("exchange"),
    ),
    *(
        Ablation(name, "7", "about +2", "", (f"without=,{name}",), _without(name))
        for name in ("conv3", "conv4", "conv5")
    ),
    Ablation(
        "color noise",
        "4.1",
        "more than +1",
        "",
        ("color_noise=cuda_convnet,none",),
        ({"color_noise": (("cuda_convnet", "paper"), "none")},),
    ),
    Ablation(
        "crops and mirrors",
        "4.1",
        "substantial overfitting",
        "",
        ("crops=random,center", "mirror=true,false"),
        ({"crops": (("random",), "center"), "mirror": ((True,), False)},),
    ),
    Ablation(
        "dropout",
        "4.2",
        "substantial overfitting",
        "",
        ("dropout_rate=0.5,0",),
        ({"dropout_rate": ((None, 0.5), 0.0)},),
    ),
    Ablation(
        "weight decay",
        "5",
        "larger training error",
        "",
        ("weight_decay=0.0005,0",),
        ({"weight_decay": ((None, 0.0005), 0.0)},),
    ),
)

# Figure 1 compares passes and not errors.
FIGURE1 = Ablation(
    "ReLU (tanh instead)",
    "3.1",
    "6 times the passes to 25 % training error",
    "",
    ("activation=relu,tanh", "learning_rate=0.003,0.01,0.03"),
    (),
    (
        *("--dataset=tfds:cifar10", "--architecture=figure1", "--color_noise=none"),
        *("--nomirror", "--best=learning_rate", "--reach=25"),
    ),
)
