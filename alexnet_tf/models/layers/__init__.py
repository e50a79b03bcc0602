"""The Keras layers that AlexNet needs and Keras does not have, one idea per file.

Channels last throughout: [N, H, W, C]. Arithmetic that decides digits (sums of squares,
powers, means) is done in float32 whatever the compute type.
"""

from alexnet_tf.models.layers.activation import ReLU
from alexnet_tf.models.layers.convolution import Convolution
from alexnet_tf.models.layers.dense import Dense, copied_kernels, reading_copies
from alexnet_tf.models.layers.dropout import (
    Dropout,
    DropoutConvention,
    set_dropout_step,
)
from alexnet_tf.models.layers.mean_subtraction import MeanSubtraction
from alexnet_tf.models.layers.normalization import (
    Implementation,
    LocalResponseNormalization,
    SpatialNormalization,
)
from alexnet_tf.models.layers.preprocessing import (
    Preprocessing,
    finish,
    plain_inputs,
)
from alexnet_tf.models.layers.provenance import Provenance
from alexnet_tf.models.layers.unshared import UnsharedConvolution

__all__ = [
    "Convolution",
    "Dense",
    "Dropout",
    "DropoutConvention",
    "Implementation",
    "LocalResponseNormalization",
    "MeanSubtraction",
    "Preprocessing",
    "Provenance",
    "ReLU",
    "SpatialNormalization",
    "UnsharedConvolution",
    "copied_kernels",
    "finish",
    "plain_inputs",
    "reading_copies",
    "set_dropout_step",
]
