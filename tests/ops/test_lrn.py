# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""The LRN op equals the formula in double precision, and stock TensorFlow."""

import ctypes
import itertools
import os
import pathlib
import re
import shutil
import subprocess

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from alexnet_tf import ops
from alexnet_tf.ops import library
from tests.support import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAPER = {"size": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75}
DTYPES = [tf.float32, tf.float16, tf.bfloat16]

# tools/checks/gpu.sh runs the tests marked `gpu` on /GPU:0.
DEVICE = os.environ.get("ALEXNET_TF_TEST_DEVICE")
ON_GPU = DEVICE == "/GPU:0"

# A GPU has only one form of the kernels.
ISAS = ["amx_bf16", "avx512_bf16", "avx512", "avx2", "baseline"][4 * ON_GPU :]

# Relative error of rounding to the type, with what the arithmetic adds, and the
# smallest step the type has.
ROUNDING = {
    # A GPU's reciprocal square roots are right to 2 units in the last place, and its
    # powers to 4 (CUDA C++ Programming Guide, mathematical functions).
    tf.float32: (2e-6 if ON_GPU else 5e-7, 1e-37),
    tf.float16: (2**-11 + 2.2e-4, 2**-25),
    tf.bfloat16: (2**-8 + 2.2e-4, 1e-37),
}


@pytest.fixture(autouse=True)
def on_device():
    with tf.device(DEVICE):
        yield


def window_sum(values, size):
    half = size // 2
    sums = np.zeros_like(values)
    channels = values.shape[-1]
    for i in range(channels):
        window = values[..., max(0, i - half) : min(channels, i + half + 1)]
        sums[..., i] = window.sum(-1)
    return sums


def reference(x, dy, *, size, k, alpha, beta):
    """y, dx and the size of the terms of dx, in double precision."""
    k, alpha, beta = (float(np.float32(v)) for v in (k, alpha, beta))
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    scale = k + alpha * window_sum(x * x, size)
    pull = dy * x * scale ** (-beta - 1)
    direct = dy * scale**-beta
    pulled = 2 * alpha * beta * x * window_sum(pull, size)
    terms = 2 * alpha * beta * np.abs(x) * window_sum(np.abs(pull), size)
    return x * scale**-beta, direct - pulled, np.abs(direct) + terms


def op_and_gradient(x, dy, function=ops.local_response_normalization, **constants):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x, **constants)
    return y, tape.gradient(y, x, dy)


def as_double(tensor):
    # By NumPy, because TensorFlow's cast on a GPU takes subnormal numbers for zero.
    return tensor.numpy().astype(np.float64)


def random_pair(shape, dtype=tf.float32, scale=30.0, seed=1):
    """x and dy; the scale makes the sum of squares matter beside k."""
    random = np.random.default_rng(seed)
    x = tf.cast(random.normal(size=shape) * scale, dtype)
    return x, tf.cast(random.normal(size=shape), dtype)


def assert_matches_reference(x, dy, y, dx, **constants):
    if DEVICE:
        assert y.device.endswith(DEVICE[1:])
        assert dx.device.endswith(DEVICE[1:])
    relative, tiny = ROUNDING[x.dtype]
    terms = min(constants["size"], x.shape[-1])
    relative += 1e-7 * terms**0.5
    want_y, want_dx, scale = reference(as_double(x), as_double(dy), **constants)
    assert np.all(np.abs(as_double(y) - want_y) <= relative * np.abs(want_y) + tiny)
    assert np.all(np.abs(as_double(dx) - want_dx) <= relative * scale + tiny)


@pytest.mark.gpu
def test_the_output_equals_numbers_computed_by_hand():
    x = tf.reshape([1.0, 2.0, 3.0], [1, 1, 1, 3])
    y, dx = op_and_gradient(
        x, tf.ones_like(x), size=3, k=1.0, alpha=1.0, beta=1.0
    )  # s = 6, 15, 14
    relative, _ = ROUNDING[tf.float32]
    np.testing.assert_allclose(y[0, 0, 0], [1 / 6, 2 / 15, 3 / 14], rtol=relative)
    pull = [1 / 36, 2 / 225, 3 / 196]
    expected = [
        1 / 6 - 2 * 1 * (pull[0] + pull[1]),
        1 / 15 - 2 * 2 * sum(pull),
        1 / 14 - 2 * 3 * (pull[1] + pull[2]),
    ]
    # The terms cancel, down to half of the largest.
    np.testing.assert_allclose(dx[0, 0, 0], expected, rtol=4 * relative)


def test_defaults_are_the_papers():
    x, dy = random_pair([2, 3, 3, 16])
    assert_matches_reference(x, dy, *op_and_gradient(x, dy), **PAPER)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("beta", [0.75, 0.5, 1.0, 0.6, 2.3])
@pytest.mark.parametrize("channels", [1, 3, 5, 31, 48, 96, 128, 256, 1000])
def test_every_type_matches_the_reference(dtype, beta, channels):
    constants = PAPER | {"beta": beta}
    x, dy = random_pair([3, 1, 5, channels], dtype)
    assert_matches_reference(x, dy, *op_and_gradient(x, dy, **constants), **constants)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("size", [1, 3, 7, 9, 11, 31, 33, 101])
@pytest.mark.parametrize("channels", [1, 2, 31, 40])
def test_every_window_matches_the_reference(dtype, size, channels):
    constants = PAPER | {"size": size, "alpha": 1e-3}
    x, dy = random_pair([2, 2, 1, channels], dtype)
    assert_matches_reference(x, dy, *op_and_gradient(x, dy, **constants), **constants)


# On a GPU, TensorFlow calls cuDNN, which takes windows of 3 to 15 channels only, and
# whose accuracy is not documented.
@pytest.mark.gpu
@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(
    shape=st.tuples(*[st.integers(1, 4)] * 3, st.integers(1, 40)),
    half=st.integers(1 if ON_GPU else 0, 6),
    k=st.floats(0.5, 4, width=32),
    alpha=st.floats(0, 2, width=32),
    beta=st.sampled_from([0.75, 0.5, 1.0, 0.3, 1.7]),
    seed=st.integers(0, 1000),
)
def test_equals_stock_tensorflow(shape, half, k, alpha, beta, seed):
    x, dy = random_pair(shape, scale=3.0, seed=seed)
    constants = {"alpha": alpha, "beta": beta}
    y, dx = op_and_gradient(x, dy, size=2 * half + 1, k=k, **constants)
    stock_y, stock_dx = op_and_gradient(
        x,
        dy,
        tf.nn.local_response_normalization,
        depth_radius=half,
        bias=k,
        **constants,
    )
    looser = 30 if ON_GPU else 1
    np.testing.assert_allclose(y, stock_y, rtol=looser * 3e-6, atol=looser * 1e-7)
    np.testing.assert_allclose(dx, stock_dx, rtol=looser * 3e-5, atol=looser * 2e-6)


def conversions():
    """docs/lrn.md's table: its rows, each as (ours, TensorFlow's, the others')."""
    rows = []
    for line in (ROOT / "docs" / "lrn.md").read_text().splitlines():
        if "depth_radius=" in line and line.startswith("|"):
            cells = [re.findall(r"(\w+)=([\d.e-]+)", cell) for cell in line.split("|")]
            rows.append([{k: float(v) for k, v in cell} for cell in cells if cell])
    return rows


def caffe(x, *, size, k, alpha, beta):
    """Caffe's across-channel LRN as its lrn_layer.cpp computes it, [N, C, H, W].

    Written from the layer's description: a sum that slides along the channels, one
    square more at its head and one less at its tail.
    """
    pad = (size - 1) // 2
    squares = np.pad(alpha / size * x**2, [(0, 0), (pad, pad), (0, 0), (0, 0)])
    scale = np.full_like(x, k)
    scale[:, 0] += squares[:, :size].sum(1)
    for c in range(1, x.shape[1]):
        scale[:, c] = scale[:, c - 1] + squares[:, c + size - 1] - squares[:, c - 1]
    return x * scale**-beta


def onnx_lrn(x, *, size, k, alpha, beta):
    import onnx
    import onnxruntime

    node = onnx.helper.make_node(
        "LRN", ["x"], ["y"], size=size, bias=k, alpha=alpha, beta=beta
    )
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, x.shape)
        for name in "xy"
    ]
    graph = onnx.helper.make_graph([node], "lrn", values[:1], values[1:])
    net = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    )
    session = onnxruntime.InferenceSession(net.SerializeToString())
    return session.run(None, {"x": x.astype(np.float32)})[0]


def torch_lrn(x, **constants):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    return torch.nn.LocalResponseNorm(**constants)(torch.tensor(x)).numpy()


@pytest.mark.parametrize(
    "other", [caffe, onnx_lrn, pytest.param(torch_lrn, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("row", range(3))
def test_the_conversion_table_holds(row, other):
    ours, stock, theirs = conversions()[row]
    x, _ = random_pair([2, 3, 4, 20])
    y = ops.local_response_normalization(x, **ours | {"size": int(ours["size"])})
    stock["depth_radius"] = int(stock["depth_radius"])
    np.testing.assert_allclose(
        tf.nn.local_response_normalization(x, **stock), y, rtol=2e-6
    )
    planes = x.numpy().astype(np.float64).transpose(0, 3, 1, 2)
    result = other(planes, **theirs | {"size": int(theirs["size"])})
    np.testing.assert_allclose(result.transpose(0, 2, 3, 1), y, rtol=2e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_gradient_is_the_numerical_one(isa, monkeypatch):
    monkeypatch.setenv("ALEXNET_TF_ISA", isa)
    x, _ = random_pair([1, 2, 1, 7], scale=1.0)

    @tf.function
    def normalize(x):
        return ops.local_response_normalization(x, size=3, k=1.5, alpha=0.5)

    try:
        theoretical, numerical = tf.test.compute_gradient(normalize, [x], delta=1e-2)
    except tf.errors.FailedPreconditionError as error:
        pytest.skip(error.message)
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=2e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_every_instruction_set_matches_the_reference(isa, dtype, monkeypatch):
    monkeypatch.setenv("ALEXNET_TF_ISA", isa)
    x, dy = random_pair([2, 3, 3, 45], dtype)
    # A new function makes new kernels, which read the variable.
    run = tf.function(lambda x, dy: op_and_gradient(x, dy, **PAPER))
    try:
        y, dx = run(x, dy)
    except tf.errors.FailedPreconditionError as error:
        pytest.skip(error.message)
    assert_matches_reference(x, dy, y, dx, **PAPER)


def rectified_gradient(x, dy, relu, others=lambda y: 0.0):
    """d/dx of the normalization behind `relu`, and the kinds of operations of it."""

    @tf.function
    def graph(x, dy):
        y = relu(x)
        z = ops.local_response_normalization(y, **PAPER)
        return tf.compat.v1.gradients([z, others(y)], x, [dy, 1.0])[0]

    graph = graph.get_concrete_function(x, dy)
    return graph(x, dy), [op.type for op in graph.graph.get_operations()]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("channels", [7, 48])
def test_the_gradient_of_a_relu_before_it_is_fused_with_it(dtype, channels):
    x, dy = random_pair([2, 3, 3, channels], dtype)
    together, kinds = rectified_gradient(x, dy, ops.relu)
    apart, kinds_apart = rectified_gradient(x, dy, tf.nn.relu)
    np.testing.assert_array_equal(together, apart)
    assert np.count_nonzero(together) < x.shape.num_elements()
    assert "ReluGrad" in kinds_apart
    assert ("ReluGrad" in kinds) != ops.runs_on_cpu(DEVICE or "")


def test_a_relu_that_others_read_too_is_not_fused():
    x, dy = random_pair([2, 3, 3, 48], tf.float32)

    def others(y):
        return tf.reduce_sum(y**2)

    together, kinds = rectified_gradient(x, dy, ops.relu, others)
    apart, _ = rectified_gradient(x, dy, tf.nn.relu, others)
    np.testing.assert_array_equal(together, apart)
    assert "ReluGrad" in kinds


def test_unknown_instruction_set_is_named(monkeypatch):
    monkeypatch.setenv("ALEXNET_TF_ISA", "mmx")
    run = tf.function(ops.local_response_normalization)
    with pytest.raises(
        tf.errors.FailedPreconditionError, match='ALEXNET_TF_ISA: expected .* got "mmx"'
    ):
        run(tf.ones([1, 1, 1, 8]))


def test_odd_and_sliced_batches_match_the_reference():
    x, dy = random_pair([7, 3, 1, 5])
    y, dx = op_and_gradient(x, dy)
    for first, last in [(1, 2), (3, 7), (0, 5)]:
        part_y, part_dx = op_and_gradient(x[first:last], dy[first:last])
        np.testing.assert_array_equal(part_y, y[first:last])
        np.testing.assert_array_equal(part_dx, dx[first:last])


@pytest.mark.gpu
def test_nan_stays_in_its_window():
    for special in (np.nan, np.inf, -np.inf):
        for beta in (0.75, 0.5, 1.0, 0.6):
            values = np.full([1, 1, 1, 20], 1.5, np.float32)
            values[..., 9] = special
            y = ops.local_response_normalization(values, beta=beta)[0, 0, 0].numpy()
            assert np.isnan(y[9])
            if np.isnan(special):
                assert np.isnan(y[7:12]).all()
            else:
                np.testing.assert_array_equal(y[[7, 8, 10, 11]], 0)
            rest = np.r_[0:7, 12:20]
            np.testing.assert_allclose(y[rest], 1.5 / 2.001125**beta, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [[0, 3, 3, 4], [2, 0, 3, 4], [2, 3, 3, 0]])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_empty_tensors(shape, dtype):
    x = tf.zeros(shape, dtype)
    y, dx = op_and_gradient(x, x)
    assert y.shape == dx.shape == shape
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"size": 4}, "size must be odd and between 1 and 65535, got 4"),
        ({"size": -3}, "size must be odd and between 1 and 65535, got -3"),
        ({"size": 2**31 - 1}, "size must be .* between 1 and 65535, got 2147483647"),
        ({"k": 0.0}, "k must be finite and at least 1.17549e-38, got 0"),
        ({"k": 1e-40}, "k must be finite and at least 1.17549e-38, got (0|1e-40)"),
        ({"k": float("inf")}, "k must be finite and at least 1.17549e-38, got inf"),
        ({"alpha": -1e-4}, "alpha must be finite and at least 0, got -0.0001"),
        ({"beta": -0.5}, "beta must be finite and at least 0, got -0.5"),
        ({"beta": float("nan")}, "beta must be finite and at least 0, got nan"),
        (
            {"k": 2.0**-64, "beta": 2.0},
            r"k\^-beta must be at most 2\^127, got k 5.42101e-20, alpha 0.0001 and "
            "beta 2",
        ),
        (
            {"alpha": 2.0**126, "beta": 1.5},
            r"2 \* alpha \* beta must be at most 2\^127, got k 2, alpha 8.50706e\+37",
        ),
    ],
)
def test_wrong_constants_are_rejected_by_name(constants, message):
    x = tf.ones([1, 1, 1, 8])
    for function in (
        ops.local_response_normalization,
        ops.local_response_normalization_xla,
        ops.spatial_normalization,
        ops.spatial_normalization_stock,
    ):
        with pytest.raises(ValueError, match=message):
            function(x, **PAPER | constants)
    # A graph from elsewhere meets the op's own check.
    constants = PAPER | constants
    for op, count in (
        (library.ops.alexnet_tf_local_response_normalization, 1),
        (library.ops.alexnet_tf_local_response_normalization_grad, 2),
        (library.ops.alexnet_tf_spatial_normalization, 1),
        (library.ops.alexnet_tf_spatial_normalization_grad, 2),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            op(*[x] * count, **constants)


def test_wrong_ranks_and_shapes_are_rejected():
    with pytest.raises(tf.errors.InvalidArgumentError, match="rank 4.*got shape"):
        ops.local_response_normalization(tf.ones([2, 8]))
    with pytest.raises(ValueError, match="must have rank 4"):
        ops.local_response_normalization_xla(tf.ones([2, 8]))

    @tf.function(input_signature=[tf.TensorSpec([2, 8])])
    def wrong_rank(x):
        return ops.local_response_normalization(x)

    with pytest.raises(ValueError, match="rank 4 but is rank 2"):
        wrong_rank.get_concrete_function()
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape of x"):
        library.ops.alexnet_tf_local_response_normalization_grad(
            tf.ones([1, 1, 1, 7]), tf.ones([1, 1, 1, 8])
        )


def test_shapes_are_inferred():
    @tf.function(input_signature=[tf.TensorSpec([None, 4, None, 8])])
    def forward(x):
        return ops.local_response_normalization(x)

    assert forward.get_concrete_function().output_shapes.as_list() == [None, 4, None, 8]

    @tf.function(
        input_signature=[
            tf.TensorSpec([3, None, 5, None]),
            tf.TensorSpec([None, 4, 5, 8]),
        ]
    )
    def gradient(dy, x):
        return library.ops.alexnet_tf_local_response_normalization_grad(dy, x)

    assert gradient.get_concrete_function().output_shapes.as_list() == [3, 4, 5, 8]

    @tf.function(input_signature=[tf.TensorSpec(None)])
    def unknown(x):
        return ops.local_response_normalization(x)

    assert unknown.get_concrete_function().output_shapes.rank == 4


@pytest.mark.gpu
def test_graph_equals_eager_and_leaves_its_input_alone():
    x, dy = random_pair([2, 3, 3, 48])
    eager = op_and_gradient(x, dy)

    @tf.function
    def graph(x, dy):
        # Temporaries may lend their memory to results, but not while in use.
        doubled, doubled_dy = 2 * x, 2 * dy
        y, dx = op_and_gradient(doubled / 2, doubled_dy / 2)
        normalized = ops.local_response_normalization(doubled)
        return y, dx, doubled, doubled_dy, normalized

    y, dx, doubled, doubled_dy, normalized = graph(x, dy)
    np.testing.assert_array_equal(y, eager[0])
    np.testing.assert_array_equal(dx, eager[1])
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_array_equal(doubled_dy, 2 * dy)
    np.testing.assert_array_equal(normalized, ops.local_response_normalization(2 * x))


def test_bits_do_not_depend_on_the_number_of_threads(tmp_path):
    script = """
import hashlib, sys
import tensorflow as tf
from alexnet_tf import ops
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
x = tf.random.stateless_normal([16, 27, 27, 48], seed=(1, 2)) * 30
with tf.GradientTape() as tape:
    tape.watch(x)
    y = ops.local_response_normalization(x)
dx = tape.gradient(y, x)
print(hashlib.sha256(y.numpy().tobytes() + dx.numpy().tobytes()).hexdigest())
"""
    program = tmp_path / "program.py"
    program.write_text(script)
    runs = [programs.run(program, threads) for threads in ("1", "2")]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr[-3000:]
    assert len(runs[0].stdout.strip()) == 64
    assert runs[0].stdout == runs[1].stdout


@pytest.mark.parametrize("dtype", [tf.float64, tf.int32], ids=lambda d: d.name)
def test_other_types_are_rejected_by_every_form(dtype):
    x = tf.ones([1, 2, 2, 8], dtype)
    for function in (
        ops.local_response_normalization,
        ops.local_response_normalization_xla,
        ops.spatial_normalization,
        ops.spatial_normalization_stock,
    ):
        with pytest.raises(TypeError, match=f"x must be float32.* got {dtype.name}"):
            function(x, **PAPER)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("size", [5, 9])
def test_xla_fallback_compiles_and_equals_the_op(dtype, size):
    constants = PAPER | {"size": size}
    x, dy = random_pair([2, 3, 3, 31], dtype)

    @tf.function(jit_compile=True)
    def compiled(x, dy):
        return op_and_gradient(x, dy, ops.local_response_normalization_xla, **constants)

    y, dx = compiled(x, dy)
    assert y.dtype == dx.dtype == dtype
    assert_matches_reference(x, dy, y, dx, **constants)


def test_a_missing_library_is_an_error_with_what_to_type(tmp_path, monkeypatch):
    installed = tmp_path / "site-packages" / "alexnet_tf" / "_alexnet_ops.so"
    with pytest.raises(ops.OpLibraryError, match="pip install") as raised:
        library._load(installed)
    assert str(installed) in str(raised.value)
    (tmp_path / "source" / "custom_ops").mkdir(parents=True)
    in_source_tree = tmp_path / "source" / "alexnet_tf" / "_alexnet_ops.so"
    with pytest.raises(ImportError, match="source tree first: type `make setup`"):
        library._load(in_source_tree)
    monkeypatch.setattr(library.shutil, "which", lambda name: None)
    with pytest.raises(ImportError, match=r"needs g\+\+, which is not installed"):
        library._load(in_source_tree)
    monkeypatch.setattr(library.sys, "platform", "darwin")
    with pytest.raises(ImportError, match="built on Linux only"):
        library._load(in_source_tree)


def test_library_of_another_tensorflow_is_rejected(tmp_path):
    file = tmp_path / "_alexnet_ops.so"
    file.write_bytes(b"\0alexnet_tf build: tensorflow=2.19.1 cuda=none;\0")
    with pytest.raises(ops.OpLibraryError, match=r"for TensorFlow 2\.19, but this is"):
        library._load(file)
    file.write_bytes(b"something else")
    with pytest.raises(ops.OpLibraryError, match="not an op library"):
        library._load(file)
    # As of another processor, or of a newer Linux.
    text = f"alexnet_tf build: tensorflow={tf.__version__} cuda=none;"
    file.write_bytes(text.encode() + bytes(100))
    with pytest.raises(ops.OpLibraryError, match=r"cannot be loaded \(.*invalid ELF"):
        library._load(file)


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_library_needs_no_cuda_from_tensorflow():
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", library._LIBRARY],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert "cuda" not in symbols
    loaded = ctypes.CDLL(str(library._LIBRARY))
    built = ctypes.string_at(
        ctypes.addressof(ctypes.c_char.in_dll(loaded, "alexnet_tf_build"))
    )
    assert f"cuda={ops.cuda_version() or 'none'};".encode() in built


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_library_runs_where_its_manylinux_does():
    """2_28 without GPU kernels; NVIDIA's runtime, linked in with them, wants 2_34."""
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", library._LIBRARY],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    newest = {
        name: max(
            tuple(map(int, version.split(".")))
            for version in re.findall(rf"@{name}_([\d.]+)", symbols)
        )
        for name in ("GLIBC", "GLIBCXX")
    }
    assert newest["GLIBC"] <= ((2, 34) if ops.cuda_version() else (2, 28))
    assert newest["GLIBCXX"] <= (3, 4, 25)


def special_reference(x, dy, size, k, alpha, beta):
    """y and dx by IEEE's rules, where a sum above float32's range is infinite."""
    with np.errstate(all="ignore"):
        x, dy = x.astype(np.float64), dy.astype(np.float64)
        sums = window_sum(x * x, size)
        sums[sums > np.finfo(np.float32).max] = np.inf
        scale = k + (alpha * sums if alpha else np.where(np.isfinite(sums), 0, np.nan))
        scale[scale > np.finfo(np.float32).max] = np.inf
        power = np.power(scale, -beta)
        direct = dy * power
        pulled = 2 * alpha * beta * x * window_sum(direct * x * (1 / scale), size)
        return x * power, direct - pulled


FLOAT32 = np.finfo(np.float32)
SPECIAL_VALUES = [np.nan, np.inf, -np.inf, 1e25, -1e30, 1e-42, 0.0]


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("isa", "beta"),
    [
        *itertools.product(ISAS, [0.75, 0.5, 1.0, 0.6, 0.0]),
        # It takes a second to compile each.
        *[("xla", 0.75), ("xla", 0.0)],
        *[pytest.param("xla", b, marks=pytest.mark.long) for b in (0.5, 1.0, 0.6)],
    ],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_nan_infinity_and_overflow_follow_the_rules(isa, dtype, beta, monkeypatch):
    function = ops.local_response_normalization
    if isa == "xla":
        function = ops.local_response_normalization_xla
    else:
        monkeypatch.setenv("ALEXNET_TF_ISA", isa)
    random = np.random.default_rng(20120930)
    for size in (3, 5, 9):
        constants = {"size": size, "k": 2.0, "alpha": 0.5, "beta": beta}
        x, dy = (random.normal(size=[8, 1, 5, 37]) for _ in range(2))
        for values in (x, dy):
            places = random.random(values.shape) < 0.02
            values[places] = random.choice(SPECIAL_VALUES, places.sum())
        x, dy = tf.cast(x, dtype), tf.cast(dy, dtype)

        run = tf.function(
            lambda x, dy, constants=constants: op_and_gradient(
                x, dy, function, **constants
            ),
            jit_compile=isa == "xla",
        )
        try:
            y, dx = run(x, dy)
        except tf.errors.FailedPreconditionError as error:
            pytest.skip(error.message)
        wanted = special_reference(as_double(x), as_double(dy), **constants)
        limits = np.finfo(dtype.as_numpy_dtype) if dtype == tf.float16 else FLOAT32
        for name, got, want in zip(["y", "dx"], (y, dx), wanted, strict=True):
            got = as_double(got)
            np.testing.assert_array_equal(
                np.isnan(got), np.isnan(want), err_msg=f"{name}, size {size}"
            )
            # Around the end of the range either side of it is right.
            sure = np.isfinite(want) & (np.abs(want) < float(limits.max) / 2)
            np.testing.assert_allclose(
                got[sure], want[sure], rtol=1e-2, atol=1e-2, err_msg=f"{name} {size}"
            )
            infinite = np.isinf(want) & (np.abs(want) > 0)
            np.testing.assert_array_equal(got[infinite], want[infinite])
