"""LPIPS against a plain formulation in NumPy, and what is known of a distance.

tools/checks/lpips.sh compares it with the lpips package itself.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf.evaluation import lpips as module
from alexnet_tf.importing import imported_run
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import zoo
from tests.support import arrays
from tests.support import published_files as published

WIDTHS = [8, 24, 48, 32, 32]  # of torchvision's net, an eighth of each
SHAPES = published.shapes_of("torchvision", classes=5, shrink=8)
WEIGHTS = published.random_weights(SHAPES)


def heads_of(widths, seed=1):
    """Random heads under the lpips package's names."""
    rng = np.random.default_rng(seed)
    return {
        f"lin{number}.model.1.weight": rng.random((1, width, 1, 1), np.float32)
        for number, width in enumerate(widths)
    }


HEADS = heads_of(WIDTHS)


@pytest.fixture(scope="module")
def small():
    """Makes torchvision's net in the zoo a narrow one, for this module."""
    with pytest.MonkeyPatch.context() as patch:
        published.small_zoo(patch)
        yield


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    """An imported torchvision net with random weights."""
    folder = tmp_path_factory.mktemp("lpips")
    file = published.write_torch(
        folder / "torchvision.pth", published.state_dict(WEIGHTS)
    )
    (folder / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    net = imported_run.read(str(file), class_names=str(folder / "classes.txt"))
    imported_run.write(folder / "run", net)
    return folder / "run"


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    return published.write_torch(tmp_path_factory.mktemp("heads") / "alex.pth", HEADS)


@pytest.fixture(scope="module")
def metric(run, heads):
    return alexnet_tf.metrics.LPIPS(run, heads)


def images_of(count=3, height=47, width=40, seed=0):
    """Random images with values from -1 to 1."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (count, height, width, 3)).astype(np.float32)


# ---- The formulation in NumPy ----


def windows(x, size, stride):
    """[N, C, H', W', size, size] of maps [N, C, H, W]."""
    views = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return views[:, :, ::stride, ::stride]


def activations(images):
    """The maps after the five ReLUs, [N, C, H, W], of images from -1 to 1."""
    shift = np.array([-0.030, -0.088, -0.188])
    scale = np.array([0.458, 0.448, 0.450])
    x = ((images - shift) / scale).transpose(0, 3, 1, 2)
    found = []
    places = {"features.0": (4, 2), "features.3": (1, 2)}
    for name in list(WEIGHTS)[:5]:
        stride, padding = places.get(name, (1, 1))
        edges = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
        kernel, bias = WEIGHTS[name]
        seen = windows(np.pad(x, edges), kernel.shape[2], stride)
        x = np.einsum("nchwij,ocij->nohw", seen, kernel, optimize=True)
        x = np.maximum(x + bias[:, None, None], 0)
        found.append(x)
        if name in ("features.0", "features.3"):
            x = windows(x, 3, 2).max((4, 5))
    return found


def by_hand(ours, theirs):
    """The distance of each pair."""
    total = 0
    for a, b, head in zip(
        activations(ours), activations(theirs), HEADS.values(), strict=True
    ):
        a, b = (
            x / (np.sqrt((x**2).sum(1, keepdims=True)) + 1e-10)
            for x in (a.astype(np.float64), b.astype(np.float64))
        )
        total = total + ((a - b) ** 2 * head).sum(1).mean((1, 2))
    return total


@pytest.mark.parametrize("size", [(31, 31), (47, 40), (64, 95)])
def test_distances_are_those_of_the_formula(metric, size):
    ours = images_of(3, *size)
    theirs = np.clip(ours + images_of(3, *size, seed=1) * 0.5, -1, 1)
    expected = by_hand(ours, theirs)
    assert expected.min() > 0.01
    np.testing.assert_allclose(metric.distances(ours, theirs), expected, rtol=1e-5)


# ---- What is known of a distance ----


def test_equal_images_have_the_distance_0(metric):
    x = images_of()
    assert metric.distances(x, x).numpy().tolist() == [0, 0, 0]


def test_the_distance_is_symmetric(metric):
    x, y = images_of(), images_of(seed=1)
    there, back = metric.distances(x, y), metric.distances(y, x)
    np.testing.assert_array_equal(there, back)


def test_more_noise_is_further_away(metric):
    x, noise = images_of() * 0.5, images_of(seed=1) * 0.5
    found = [metric.distances(x, x + noise * level) for level in (0, 0.1, 0.3, 1)]
    assert (np.diff(found, axis=0) > 0).all()


@pytest.mark.parametrize("jit", [False, True])
def test_a_position_without_activations_has_a_finite_gradient(jit):
    @tf.function(jit_compile=jit)
    def both(x):
        y = module._of_length_1(x)
        return y, tf.gradients(y, x)[0]

    y, gradient = both(tf.zeros([1, 2, 2, 8]))
    assert not np.any(y)
    assert np.isfinite(gradient).all()


# ---- As a metric, and as a loss ----


def test_the_metric_is_the_mean_over_all_batches(metric):
    metric.reset_state()
    x, y = images_of(5), images_of(5, seed=1)
    distances = metric.distances(x, y).numpy()
    metric.update_state(x[:2], y[:2])
    metric.update_state(x[2:], y[2:])
    assert float(metric.result()) == pytest.approx(distances.mean(), rel=1e-6)
    metric.reset_state()
    metric.update_state(x, y, sample_weight=[1, 0, 0, 0, 3])
    assert float(metric.result()) == pytest.approx(
        (distances[0] + 3 * distances[4]) / 4
    )
    metric.reset_state()
    assert metric.result() == 0
    assert float(metric(x, y)) == pytest.approx(distances.mean(), rel=1e-6)


def test_gradients_bring_an_image_nearer(metric):
    target = tf.constant(images_of(1))
    image = tf.Variable(images_of(1, seed=1))
    found = []
    for _ in range(5):
        with tf.GradientTape() as tape:
            distance = tf.reduce_sum(metric.distances(target, image))
        found.append(float(distance))
        gradient = tape.gradient(distance, image)
        assert np.isfinite(gradient).all()
        image.assign_sub(gradient * (0.5 / tf.norm(gradient)))
    assert found == sorted(found, reverse=True)


def test_a_model_is_compiled_and_trained_with_it(metric):
    metric.reset_state()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((40, 40, 3)), keras.layers.Conv2D(3, 3, padding="same")]
    )
    model.compile(keras.optimizers.Adam(0.01), metric.distances, metrics=[metric])
    x = images_of(4, 40, 40)
    history = model.fit(x, x, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    # The metric adds no weights of the trunk to those that are reset every epoch.
    assert [v.shape for v in metric.variables] == [(), ()]
    assert history["lpips"][-1] < history["lpips"][0]


def test_a_saved_metric_is_made_of_its_paths_again(metric, run, heads):
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    x, y = images_of(), images_of(seed=1)
    np.testing.assert_array_equal(again.distances(x, y), metric.distances(x, y))
    of_a_net = alexnet_tf.metrics.LPIPS(alexnet_tf.load(run), heads)
    with pytest.raises(ValueError, match="its trunk is a net and not a path"):
        of_a_net.get_config()


def test_the_arithmetic_is_float32_whatever_the_global_policy_is(run, heads, metric):
    x, y = images_of(), images_of(seed=1)
    expected = metric.distances(x, y)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        found = alexnet_tf.metrics.LPIPS(run, heads).distances(x, y)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(found, expected)


# ---- The trunk ----


@pytest.mark.parametrize("kind", ["loaded", "model", ".keras", ".weights.h5"])
def test_the_trunk_may_be_a_net_or_a_file(run, heads, metric, tmp_path, kind):
    net = alexnet_tf.AlexNet(weights=run)
    trunk = {"loaded": alexnet_tf.load(run), "model": net}.get(kind)
    if trunk is None:
        trunk = tmp_path / f"net{kind}"
        net.save(trunk) if kind == ".keras" else net.save_weights(trunk)
    found = alexnet_tf.metrics.LPIPS(trunk, heads)
    x, y = images_of(), images_of(seed=1)
    np.testing.assert_array_equal(found.distances(x, y), metric.distances(x, y))


def test_training_the_net_does_not_change_the_metric(run, heads):
    net = alexnet_tf.AlexNet(weights=run)
    found = alexnet_tf.metrics.LPIPS(net, heads)
    x, y = images_of(), images_of(seed=1)
    before = found.distances(x, y)
    net.get_layer("conv1").kernel.assign(net.get_layer("conv1").kernel * 2)
    np.testing.assert_array_equal(found.distances(x, y), before)


def test_another_net_is_refused(trained_run, heads):
    message = "must be torchvision's AlexNet, and .*'cifar10_11pct': import torchvision"
    for trunk in (trained_run, alexnet_tf.load(trained_run)):
        with pytest.raises(ValueError, match=message) as info:
            alexnet_tf.metrics.LPIPS(trunk, heads)
        assert "\n" not in str(info.value)
    plain = keras.Sequential([keras.Input((31, 31, 3)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match="does not say which net it is"):
        alexnet_tf.metrics.LPIPS(plain, heads)


# ---- The heads ----


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            heads_of([8, 16, 32, 64, 64]),
            r"lin1\.model\.1\.weight is \[1, 16, 1, 1\], ex",
        ),
        (
            heads_of(WIDTHS[:4]),
            r"lin4\.model\.1\.weight is missing, expected \[1, 32, 1",
        ),
        (heads_of([*WIDTHS, 64]), r"lin5\.model\.1\.weight is .*expected missing"),
        ({"features.0.weight": np.zeros((8, 3, 11, 11), np.float32)}, "lin0.*missing"),
        (HEADS | {"lin2.model.1.weight": np.full((1, 48, 1, 1), np.nan, "f4")}, "NaN"),
    ],
)
def test_files_of_other_heads_are_refused(run, tmp_path, content, message):
    file = published.write_torch(tmp_path / "heads.pth", content)
    with pytest.raises(ValueError, match=message) as info:
        alexnet_tf.metrics.LPIPS(run, file)
    assert str(file) in str(info.value)
    assert "\n" not in str(info.value)


def test_a_damaged_file_of_heads_is_refused(run, heads, tmp_path):
    file = tmp_path / "heads.pth"
    for content in (b"", b"heads", heads.read_bytes()[:-300]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"heads\.pth") as info:
            alexnet_tf.metrics.LPIPS(run, file)
        assert "\n" not in str(info.value)
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.pth"):
        alexnet_tf.metrics.LPIPS(run, tmp_path / "none.pth")


def test_the_heads_of_version_0_0_are_refused(run, heads, monkeypatch):
    digest = module.files.sha256(heads)
    monkeypatch.setattr(module, "_V0_0", digest)
    with pytest.raises(ValueError, match=r"of lpips v0\.0.*take weights/v0\.1/alex"):
        alexnet_tf.metrics.LPIPS(run, heads)


# ---- The images ----


@pytest.mark.parametrize(
    ("value_range", "scale"), [((0, 1), 0.5), ((0, 255), 127.5), ((-1.0, 1.0), None)]
)
def test_the_range_of_the_values_is_that_of_black_and_white(
    run, heads, metric, value_range, scale
):
    x, y = images_of(), images_of(seed=1)
    found = alexnet_tf.metrics.LPIPS(run, heads, value_range=value_range)
    scaled = [v if scale is None else (v + 1) * np.float32(scale) for v in (x, y)]
    arrays.assert_equal_to_rounding(found.distances(*scaled), metric.distances(x, y))


def test_integer_images_need_their_range(run, heads, metric):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8)
    with pytest.raises(ValueError, match=r"uint8 need value_range=\(0, 255\)"):
        metric.distances(pixels, pixels)
    found = alexnet_tf.metrics.LPIPS(run, heads, value_range=(0, 255))
    expected = metric.distances(
        pixels.astype(np.float32) / 127.5 - 1,
        pixels[::-1].astype(np.float32) / 127.5 - 1,
    )
    arrays.assert_equal_to_rounding(found.distances(pixels, pixels[::-1]), expected)


@pytest.mark.parametrize(
    "value_range", [(1, 1), (1, 0), (0,), 1, ("a", "b"), (0, None)]
)
def test_a_range_that_is_none_is_refused(run, heads, value_range):
    with pytest.raises(
        ValueError, match="must be two numbers, those of black and white"
    ):
        alexnet_tf.metrics.LPIPS(run, heads, value_range=value_range)


@pytest.mark.parametrize(
    "shape",
    [(40, 40, 3), (1, 40, 40, 1), (1, 3, 40, 40), (1, 30, 40, 3), (1, 40, 30, 3)],
)
def test_what_is_not_an_image_of_at_least_31_pixels_is_refused(metric, shape):
    x = np.zeros(shape, np.float32)
    message = r"RGB, \[N, height, width, 3\], of at least 31 x 31 pixels, got"
    with pytest.raises(ValueError, match=message):
        metric.distances(x, x)


def test_31_pixels_are_the_least_that_torchvisions_net_takes():
    assert architectures.least_side(module._trunk_of(zoo.find("torchvision"))) == 31


def test_images_of_different_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"the same shape, got \[1, 40.*\[2, 40"):
        metric.distances(images_of(1, 40, 40), images_of(2, 40, 40))
