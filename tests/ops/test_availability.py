"""Where our ops can compute, and what is said where TensorFlow's take their place.

Graphs are traced for GPUs and not run, so these tests need none.
"""

import ctypes

import pytest
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models import builder, layers, towers, zoo
from alexnet_tf.ops import availability, library
from alexnet_tf.training import optimizer, schedule

LRN, SPATIAL = layers.LocalResponseNormalization, layers.SpatialNormalization


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(availability, "_said", set())


@pytest.fixture
def no_library(monkeypatch):
    error = ops.OpLibraryError("the op library X does not exist: type Y")
    monkeypatch.setattr(library, "error", error)
    monkeypatch.setattr(library, "ops", library._NoOps(error))


@pytest.fixture
def gpu_kernels(monkeypatch):
    """Sets what the library and the machine are; returns the function that does."""

    def are(built="12.8", driver=(12, 0), capability=(8, 0)):
        monkeypatch.setattr(
            availability, "_has_kernel", lambda op, *_: op != SPATIAL._OP
        )
        monkeypatch.setattr(library, "cuda_version", lambda: built)
        monkeypatch.setattr(availability, "_driver_cuda_version", lambda: driver)
        monkeypatch.setattr(availability, "_capability", lambda index: capability)

    return are


@pytest.fixture
def cpu_library(monkeypatch):
    """The library has no GPU kernels."""
    monkeypatch.setattr(
        availability, "_has_kernel", lambda op, kind, dtype: kind == "CPU"
    )
    monkeypatch.setattr(library, "cuda_version", lambda: None)


def traced(layer, device, dtype=tf.float32):
    """The types of the operations that a layer has in a graph for this device."""
    with tf.Graph().as_default() as graph, tf.device(device):
        layer(tf.zeros([2, 5, 5, 3], dtype))
    return {op.type for op in graph.get_operations()}


def test_a_gpu_without_our_kernels_gets_tensorflows_normalization(cpu_library, caplog):
    found = traced(LRN(), "/GPU:1")
    assert "LRN" in found
    assert availability.LRN not in found
    (said,) = caplog.messages
    assert said.startswith("/GPU:1 computes with TensorFlow's own operations")
    assert "install nvcc 12.8 or newer" in said
    assert availability.LRN in traced(LRN(), "/CPU:0")


def test_two_layers_on_two_gpus_say_it_once(cpu_library, caplog):
    for device in ("/GPU:0", "/GPU:1"):
        traced(LRN(), device)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("layer", [LRN, SPATIAL])
def test_an_op_that_is_demanded_and_has_no_kernel_is_refused_in_one_line(
    cpu_library, layer
):
    with pytest.raises(
        ValueError, match=r"cannot compute on /GPU:0: .*--lrn=stock"
    ) as e:
        traced(layer(implementation="op"), "/GPU:0")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("dtype", "layer"), [(tf.float32, LRN), (tf.bfloat16, LRN), (tf.float16, LRN)]
)
def test_gpu_kernels_are_used_on_a_gpu_that_runs_them(
    gpu_kernels, caplog, dtype, layer
):
    gpu_kernels()
    assert availability.LRN in traced(layer(dtype=dtype), "/GPU:0", dtype)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("built", "driver", "runs"),
    [
        ("12.8", (12, 0), True),  # driver 525, as TensorFlow needs
        ("12.9", (13, 0), True),
        ("13.0", (13, 0), True),
        ("13.0", (12, 9), False),
        ("12.8", (11, 8), False),
        ("13.0", None, True),  # nobody knows: the kernel itself asks the driver
    ],
)
def test_the_driver_must_support_the_major_version_of_cuda(
    gpu_kernels, caplog, built, driver, runs
):
    gpu_kernels(built, driver)
    assert (availability.LRN in traced(LRN(), "/GPU:0")) == runs
    if runs:
        return
    assert f"built with CUDA {built}, and the driver supports" in caplog.text
    with pytest.raises(ValueError, match="install a driver for CUDA .*--lrn=stock"):
        traced(LRN(implementation="op"), "/GPU:0")


@pytest.mark.parametrize(
    ("capability", "runs"), [((7, 5), True), ((12, 0), True), ((7, 0), False)]
)
def test_gpus_before_turing_get_tensorflows_normalization(
    gpu_kernels, caplog, capability, runs
):
    gpu_kernels(capability=capability)
    assert (availability.LRN in traced(LRN(), "/GPU:0")) == runs
    assert runs or "compute capability 7.0, and the GPU kernels need 7.5" in caplog.text


def test_the_driver_tells_which_cuda_it_supports(monkeypatch):
    class Driver:
        @staticmethod
        def cuDriverGetVersion(version):
            version._obj.value = 12040
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver)
    assert availability._driver_cuda_version() == (12, 4)


@pytest.mark.parametrize(("index", "expected"), [(0, 8), (1, 8), (2, 9), (3, 7)])
def test_the_parts_of_the_first_gpu_have_its_capability(monkeypatch, index, expected):
    gpus = {"first": (8, 0), "second": (9, 0), "third": (7, 0)}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: list(gpus))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: ["x"] * 4)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": gpus[gpu]},
    )
    assert availability._capability(index) == (expected, 0)


def test_normalization_within_maps_says_that_it_has_no_gpu_kernel(gpu_kernels, caplog):
    gpu_kernels()
    assert SPATIAL._OP not in traced(SPATIAL(), "/GPU:0")
    assert "SpatialNormalization has no kernel for float32 on a GPU" in caplog.text


def test_the_registry_knows_our_kernels_by_device_and_type():
    assert availability._has_kernel(availability.LRN, "CPU", tf.float16)
    assert availability._has_kernel(availability.SPATIAL, "CPU", tf.bfloat16)
    assert not availability._has_kernel(availability.SPATIAL, "CPU", tf.float16)
    assert not availability._has_kernel(availability.SPATIAL, "GPU", tf.float32)
    assert not availability._has_kernel(availability.LRN, "TPU", tf.float32)
    with_gpu = library.cuda_version() is not None
    assert availability._has_kernel(availability.LRN, "GPU", tf.float32) == with_gpu


@pytest.mark.parametrize("layer", [LRN, SPATIAL])
def test_a_layer_knows_after_build_what_computes_it(layer, no_library):
    built = layer()
    assert built.chosen is None
    built.build((None, 4, 4, 3))
    assert built.chosen == "stock"
    with pytest.raises(ValueError, match="cannot compute on /CPU:0: the op library X"):
        layer(implementation="op").build((None, 4, 4, 3))


def test_a_net_says_what_computes_its_normalizations(no_library, monkeypatch):
    net = zoo.find("cifar10_11pct")
    assert layers.normalization_of(builder.build(net)) == "stock"
    monkeypatch.undo()
    assert layers.normalization_of(builder.build(net)) == "op"
    assert layers.normalization_of(builder.build(net, lrn="stock")) == "stock"
    without = zoo.find("cifar10_11pct_no_lrn")
    assert layers.normalization_of(builder.build(without)) == ""


def test_without_the_library_every_op_has_a_stand_in_and_one_warning(
    no_library, caplog
):
    convolution = layers.Convolution(48, 3, explicit_padding=(1, 1))
    dense = layers.Dense(4, dtype="mixed_bfloat16")
    dense.build((None, 3))
    x = tf.random.stateless_normal([2, 5, 5, 48], [1, 2])

    @tf.function
    def step(x):
        y = convolution(x, training=True)
        y = SPATIAL()(LRN()(layers.ReLU()(y, training=True)))
        (gradient,) = towers.colocated_gradients(tf.reduce_sum(y), [convolution.kernel])
        return gradient

    gradient = step(x)
    rule = optimizer.MomentumSGD([convolution.kernel], [0.1])
    rates = schedule.LearningRates(*[tf.constant(0.5)] * 3)
    w = tf.identity(convolution.kernel)
    rule.apply([gradient], rates)
    expected, velocity = optimizer.momentum_step(
        w, 0.0, gradient, learning_rate=0.5, momentum=0.9, weight_decay=0.1
    )
    tf.debugging.assert_near(convolution.kernel.value, expected)
    tf.debugging.assert_near(rule.velocities[0], velocity)
    assert layers.keep_kernel_copies(_Net([dense])) == {}
    (said,) = caplog.messages
    assert "because the op library X does not exist: type Y" in said
    with pytest.raises(ops.OpLibraryError, match="the op library X does not exist"):
        ops.local_response_normalization(x)
    assert ops.instruction_set() is None


class _Net:
    def __init__(self, layers):
        self.layers = layers
