"""The paper's network, its variants, and the AlexNets of other libraries, as data.

There is no TensorFlow here.

Docstrings name the source of each number: "P" is the paper, section 3 if no other is
named; `layers-145.cfg` and its relatives are the 2012 program's files. If the text and
the 2012 program differ, `PAPER` follows the text and `CUDA_CONVNET` the program. The
ablations are those of the 2012 program and follow it. docs/family.md compares the
AlexNets.
"""

import dataclasses
from collections.abc import Sequence

from alexnet_tf.models.architecture import (
    Architecture,
    Convolution,
    Dense,
    Dropout,
    Layer,
    MaxPool,
    Relu,
    ResponseNormalization,
    SpatialNormalization,
    UnsharedConvolution,
)
from alexnet_tf.runtime import suggestions

_CONV1_PADDING = (0, 3)  # to the right and below, so that 224 pixels give 55 positions


def _head(units: int = 4096, standard_deviation: float = 0.01) -> tuple[Layer, ...]:
    """The layers fc6 to fc8: P sections 3.5 and 4.2."""
    hidden = [
        Dense(
            name,
            units=units,
            initial_bias=1.0,
            standard_deviation=standard_deviation,
            inputs="both",
        )
        for name in ("fc6", "fc7")
    ]
    top = Dense(
        "fc8",
        units=1000,
        standard_deviation=standard_deviation,
        inputs="both",
        split=False,
    )
    return (hidden[0], Relu(), Dropout(), hidden[1], Relu(), Dropout(), top)


def _middle(
    filters: Sequence[int],
    conv5_padding: tuple[int, int] = (1, 1),
    standard_deviation: float = 0.03,
) -> tuple[Layer, ...]:
    """The layers conv3 to conv5 without the pooling: P section 3.5.

    The default standard deviation is that of `layers-145.cfg`.
    """
    conv3, conv4, conv5 = filters
    same = (1, 1)
    return (
        Convolution(
            "conv3",
            filters=conv3,
            kernel_size=3,
            padding=same,
            standard_deviation=standard_deviation,
            inputs="both",
        ),
        Relu(),
        Convolution(
            "conv4",
            filters=conv4,
            kernel_size=3,
            padding=same,
            standard_deviation=standard_deviation,
            initial_bias=1.0,
        ),
        Relu(),
        Convolution(
            "conv5",
            filters=conv5,
            kernel_size=3,
            padding=conv5_padding,
            standard_deviation=standard_deviation,
            initial_bias=1.0,
        ),
        Relu(),
    )


def _conv1(filters: int) -> Convolution:
    return Convolution(
        "conv1", filters=filters, kernel_size=11, stride=4, padding=_CONV1_PADDING
    )


def _conv2(filters: int, padding: tuple[int, int] = (2, 2)) -> Convolution:
    return Convolution(
        "conv2", filters=filters, kernel_size=5, padding=padding, initial_bias=1.0
    )


_OVERLAPPING = MaxPool(size=3, stride=2)


def _cuda_convnet(
    filters: tuple[int, int, int, int, int],
    pool: MaxPool = _OVERLAPPING,
    conv2_padding: tuple[int, int] = (2, 2),
    conv5_padding: tuple[int, int] = (1, 1),
) -> tuple[Layer, ...]:
    """The layers in the 2012 program's order: `layers-145.cfg` and its relatives."""
    conv1, conv2, *middle = filters
    lrn = ResponseNormalization(
        alpha=1e-4 / 5
    )  # divided by the size in the 2012 program
    return (
        _conv1(conv1),
        lrn,
        pool,
        Relu(),
        _conv2(conv2, conv2_padding),
        Relu(),
        lrn,
        SpatialNormalization(),
        pool,
        *_middle(middle, conv5_padding),
        pool,
        *_head(),
    )


PAPER = Architecture(
    name="paper",
    description="the network of the paper's text, sections 3.1 to 3.5",
    input_size=224,
    record_size=256,
    towers=2,
    layers=(
        _conv1(96),
        Relu(),
        ResponseNormalization(size=5, k=2.0, alpha=1e-4, beta=0.75),
        MaxPool(size=3, stride=2),
        _conv2(256),
        Relu(),
        ResponseNormalization(size=5, k=2.0, alpha=1e-4, beta=0.75),
        MaxPool(size=3, stride=2),
        *_middle((384, 384, 256)),
        MaxPool(size=3, stride=2),
        *_head(),
    ),
)


CUDA_CONVNET = dataclasses.replace(
    PAPER,
    name="cuda_convnet",
    description="the 2012 program's network, layers-145.cfg",
    layers=_cuda_convnet((96, 256, 384, 384, 256)),
)


ONE_GPU = dataclasses.replace(
    PAPER,
    name="one_gpu",
    description="half the kernels on one device (P, footnote to 3.2), "
    "layers-145-half.cfg",
    towers=1,
    layers=_cuda_convnet((48, 128, 192, 192, 256)),
)


NO_LRN = dataclasses.replace(
    CUDA_CONVNET,
    name="no_lrn",
    description="the 2012 program's network without normalization, layers-148.cfg",
    layers=tuple(
        layer
        for layer in CUDA_CONVNET.layers
        if not isinstance(layer, ResponseNormalization | SpatialNormalization)
    ),
)


POOL2X2 = dataclasses.replace(
    CUDA_CONVNET,
    name="pool2x2",
    description="pooling without overlap, 2x2 with stride 2, layers-147.cfg",
    layers=_cuda_convnet(
        (96, 256, 384, 384, 256),
        pool=MaxPool(2, 2),
        conv2_padding=(1, 1),
        conv5_padding=(0, 0),
    ),
)


CONV6 = dataclasses.replace(
    CUDA_CONVNET,
    name="conv6",
    description="a sixth convolution after the last pooling, layers-146-2012-2011.cfg",
    layers=(
        *CUDA_CONVNET.layers[: -len(_head())],
        # How conv6 was initialized is not on record; conv4 and conv5 are followed here.
        Convolution(
            "conv6",
            filters=256,
            kernel_size=3,
            padding=(1, 1),
            standard_deviation=0.03,
            initial_bias=1.0,
            inputs="both",
        ),
        Relu(),
        *_head(),
    ),
)


SMALL = Architecture(
    name="small",
    description="the paper's network in small, for ablations in minutes on two cores: "
    "two towers, five convolutions, images of 64 pixels",
    input_size=56,
    record_size=64,
    towers=2,
    # The inputs of a layer are fewer than in the paper's network, so its weights start
    # larger.
    layers=(
        Convolution("conv1", filters=32, kernel_size=7, stride=2, padding=(3, 3)),
        Relu(),
        ResponseNormalization(),
        MaxPool(),
        Convolution(
            "conv2",
            filters=64,
            kernel_size=5,
            padding=(2, 2),
            standard_deviation=0.03,
            initial_bias=1.0,
        ),
        Relu(),
        ResponseNormalization(),
        MaxPool(),
        *_middle((96, 96, 64), standard_deviation=0.05),
        MaxPool(),
        *_head(units=256, standard_deviation=0.04),
    ),
)


def _caffe(normalizes_first: bool, bias: float) -> tuple[Layer, ...]:
    """The layers of Caffe's two nets: its `train_val.prototxt` files.

    Unlike the towers' convolutions, the normalization reads all channels. Caffe divides
    alpha by the size and has k = 1.

    Args:
        normalizes_first: before pooling; if not, after it.
        bias: the initial biases that are not 0.
    """
    lrn = ResponseNormalization(size=5, k=1.0, alpha=1e-4 / 5, beta=0.75, inputs="both")
    pool = MaxPool(size=3, stride=2)
    shrink = (lrn, pool) if normalizes_first else (pool, lrn)
    same = (1, 1)
    return (
        Convolution("conv1", filters=96, kernel_size=11, stride=4),
        Relu(),
        *shrink,
        Convolution(
            "conv2", filters=256, kernel_size=5, padding=(2, 2), initial_bias=bias
        ),
        Relu(),
        *shrink,
        Convolution("conv3", filters=384, kernel_size=3, padding=same, inputs="both"),
        Relu(),
        Convolution(
            "conv4", filters=384, kernel_size=3, padding=same, initial_bias=bias
        ),
        Relu(),
        Convolution(
            "conv5", filters=256, kernel_size=3, padding=same, initial_bias=bias
        ),
        Relu(),
        pool,
        *(
            layer
            for name in ("fc6", "fc7")
            for layer in (
                Dense(
                    name,
                    units=4096,
                    initial_bias=bias,
                    standard_deviation=0.005,
                    inputs="both",
                ),
                Relu(),
                Dropout(),
            )
        ),
        Dense("fc8", units=1000, inputs="both", split=False),
    )


CAFFE_ALEXNET = Architecture(
    name="caffe_alexnet",
    description="Caffe's AlexNet, models/bvlc_alexnet of its repository",
    input_size=227,  # without padding these give 55 positions too
    record_size=256,
    towers=2,
    # Biases of 1 "gave flat loss", says its readme.md.
    layers=_caffe(normalizes_first=True, bias=0.1),
    dropout="inverted",
)


CAFFENET = dataclasses.replace(
    CAFFE_ALEXNET,
    name="caffenet",
    description="CaffeNet, models/bvlc_reference_caffenet of Caffe's repository: pooling "
    "before normalization",
    layers=_caffe(normalizes_first=False, bias=1.0),
)


def _torchvision() -> tuple[Layer, ...]:
    """The layers of torchvision's `models/alexnet.py`.

    They are the one-tower network of "One weird trick for parallelizing convolutional
    neural networks" (Krizhevsky 2014), without normalization. The weight decay is that
    of torchvision's training script, which trained the published weights.
    """
    decay = 1e-4
    pool = MaxPool(size=3, stride=2, ceil_mode=False)
    layers: list[Layer] = []
    for name, filters, kernel_size, stride, padding in (
        ("conv1", 64, 11, 4, 2),
        ("conv2", 192, 5, 1, 2),
        ("conv3", 384, 3, 1, 1),
        ("conv4", 256, 3, 1, 1),
        ("conv5", 256, 3, 1, 1),
    ):
        convolution = Convolution(
            name,
            filters=filters,
            kernel_size=kernel_size,
            stride=stride,
            padding=(padding, padding),
            weight_decay=decay,
        )
        layers += [convolution, Relu()]
        if name in ("conv1", "conv2", "conv5"):
            layers.append(pool)
    for name in ("fc6", "fc7"):
        layers += [Dropout(), Dense(name, units=4096, weight_decay=decay), Relu()]
    layers.append(Dense("fc8", units=1000, weight_decay=decay, split=False))
    return tuple(layers)


TORCHVISION = Architecture(
    name="torchvision",
    description="torchvision's AlexNet: one tower, no normalization, dropout before fc6 "
    "and fc7",
    input_size=224,
    record_size=256,
    towers=1,
    layers=_torchvision(),
    dropout="inverted",
    initialization="pytorch",
)


_CIFAR_LRN = ResponseNormalization(size=9, k=1.0, alpha=0.001 / 9)


def _cifar(local3: int, fc10_decay: float, normalized: bool) -> tuple[Layer, ...]:
    """cuda-convnet's CIFAR-10 networks: layers-conv-local-11pct.cfg and -13pct.cfg."""
    layers: tuple[Layer, ...] = (
        Convolution(
            "conv1",
            filters=64,
            kernel_size=5,
            padding=(2, 2),
            standard_deviation=1e-4,
            weight_decay=0.0,
        ),
        Relu(),
        MaxPool(),
        _CIFAR_LRN,
        Convolution(
            "conv2", filters=64, kernel_size=5, padding=(2, 2), weight_decay=0.0
        ),
        Relu(),
        _CIFAR_LRN,
        MaxPool(),
        UnsharedConvolution(
            "local3",
            filters=local3,
            kernel_size=3,
            padding=(1, 1),
            standard_deviation=0.04,
            weight_decay=0.004,
        ),
        Relu(),
        UnsharedConvolution(
            "local4",
            filters=32,
            kernel_size=3,
            padding=(1, 1),
            standard_deviation=0.04,
            weight_decay=0.004,
        ),
        Relu(),
        Dense("fc10", units=10, weight_decay=fc10_decay, split=False),
    )
    return tuple(layer for layer in layers if normalized or layer is not _CIFAR_LRN)


CIFAR10_11PCT = Architecture(
    name="cifar10_11pct",
    description="the CIFAR-10 network with 11 % error of P section 3.3, with unshared "
    "convolutions",
    input_size=24,
    record_size=32,
    towers=1,
    layers=_cifar(local3=64, fc10_decay=0.01, normalized=True),
)


CIFAR10_11PCT_NO_LRN = dataclasses.replace(
    CIFAR10_11PCT,
    name="cifar10_11pct_no_lrn",
    description="cifar10_11pct without LRN and otherwise the same; the published "
    "networks with 11 and 13 % error differ in more than LRN",
    layers=_cifar(local3=64, fc10_decay=0.01, normalized=False),
)


CIFAR10_13PCT = dataclasses.replace(
    CIFAR10_11PCT,
    name="cifar10_13pct",
    description="the CIFAR-10 network with 13 % error of P section 3.3, without LRN",
    layers=_cifar(local3=32, fc10_decay=0.004, normalized=False),
)


def _figure1() -> tuple[Layer, ...]:
    """Three convolutions and a dense layer, without any regularization."""
    layers: list[Layer] = []
    for number, filters in enumerate((32, 32, 64), 1):
        convolution = Convolution(
            f"conv{number}",
            filters=filters,
            kernel_size=5,
            padding=(2, 2),
            standard_deviation=1e-4 if number == 1 else 0.01,
            weight_decay=0.0,
        )
        layers += [convolution, Relu(), MaxPool()]
    top = Dense(
        "fc10", units=10, standard_deviation=0.01, weight_decay=0.0, split=False
    )
    return (*layers, top)


FIGURE1 = Architecture(
    name="figure1",
    description="a net with four layers for figure 1 of the paper, whose own is not on "
    "record: the sizes of the 2012 program's CIFAR-10 network with 18 % error, without "
    "normalization and weight decay",
    input_size=32,
    record_size=32,
    towers=1,
    layers=_figure1(),
)


ARCHITECTURES = {
    net.name: net
    for net in (
        PAPER,
        CUDA_CONVNET,
        ONE_GPU,
        NO_LRN,
        POOL2X2,
        CONV6,
        CAFFE_ALEXNET,
        CAFFENET,
        TORCHVISION,
        CIFAR10_11PCT,
        CIFAR10_11PCT_NO_LRN,
        CIFAR10_13PCT,
        FIGURE1,
        SMALL,
    )
}


# What `train` trains if neither an architecture nor weights are named.
DEFAULT_TO_TRAIN = CUDA_CONVNET.name


def find(name: str) -> Architecture:
    """Returns the architecture called `name`.

    Raises:
        ValueError: there is none of this name; the message lists the names.

    Example:
        >>> find("paper").towers
        2
    """
    if name not in ARCHITECTURES:
        raise ValueError(
            f"architecture must be one of {', '.join(ARCHITECTURES)}, got {name!r}"
            f"{suggestions.did_you_mean(name, ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]
