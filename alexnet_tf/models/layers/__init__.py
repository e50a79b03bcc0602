"""The Keras layers that AlexNet needs and Keras does not have, one idea per file.

All images and maps are [N, H, W, C]. Arithmetic that affects accuracy (sums of squares,
powers, means) is done in float32 whatever the compute type is.
"""

from alexnet_tf.runtime import keras_backend

keras_backend.require_tensorflow()  # before any module here imports Keras

# ruff: noqa: E402
from alexnet_tf.models.layers.activation import ReLU
from alexnet_tf.models.layers.channel_part import ChannelPart
from alexnet_tf.models.layers.convolution import Convolution
from alexnet_tf.models.layers.dense import (
    Dense,
    keep_kernel_copies,
    refresh_kernel_copies,
    variables_read_in_training,
)
from alexnet_tf.models.layers.dropout import (
    Dropout,
    DropoutConvention,
    set_dropout_step,
)
from alexnet_tf.models.layers.initializers import RandomNormal, RandomUniform
from alexnet_tf.models.layers.least_size import LeastSize
from alexnet_tf.models.layers.mean_subtraction import MeanSubtraction
from alexnet_tf.models.layers.normalization import (
    Implementation,
    LocalResponseNormalization,
    SpatialNormalization,
    normalization_of,
)
from alexnet_tf.models.layers.pooling import CeilMaxPooling2D
from alexnet_tf.models.layers.preprocessing import (
    Preprocessing,
    finish,
    plain_inputs,
)
from alexnet_tf.models.layers.provenance import Provenance
from alexnet_tf.models.layers.unshared import UnsharedConvolution

__all__ = [
    "CeilMaxPooling2D",
    "ChannelPart",
    "Convolution",
    "Dense",
    "Dropout",
    "DropoutConvention",
    "Implementation",
    "LeastSize",
    "LocalResponseNormalization",
    "MeanSubtraction",
    "Preprocessing",
    "Provenance",
    "RandomNormal",
    "RandomUniform",
    "ReLU",
    "SpatialNormalization",
    "UnsharedConvolution",
    "finish",
    "keep_kernel_copies",
    "normalization_of",
    "plain_inputs",
    "refresh_kernel_copies",
    "set_dropout_step",
    "variables_read_in_training",
]
