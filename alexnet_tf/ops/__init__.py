"""The custom ops, one file per op, each with its gradient.

`library.py` loads the compiled library, if there is one. `availability.py` says where its
ops can compute. `tracing.py` finds out where a graph will run.
"""

from alexnet_tf.ops import availability
from alexnet_tf.ops.convolution import direct_convolution, padded_convolution
from alexnet_tf.ops.library import (
    OpLibraryError,
    cuda_version,
    instruction_set,
)
from alexnet_tf.ops.lrn import (
    local_response_normalization,
    local_response_normalization_xla,
    relu,
)
from alexnet_tf.ops.momentum import apply_decayed_momentum
from alexnet_tf.ops.spatial import (
    spatial_normalization,
    spatial_normalization_stock,
)
from alexnet_tf.ops.tracing import (
    being_compiled,
    current_device,
    on_cpu,
    runs_on_cpu,
)
from alexnet_tf.ops.winograd import winograd_convolution

__all__ = [
    "OpLibraryError",
    "apply_decayed_momentum",
    "availability",
    "being_compiled",
    "cuda_version",
    "current_device",
    "direct_convolution",
    "instruction_set",
    "local_response_normalization",
    "local_response_normalization_xla",
    "on_cpu",
    "padded_convolution",
    "relu",
    "runs_on_cpu",
    "spatial_normalization",
    "spatial_normalization_stock",
    "winograd_convolution",
]
