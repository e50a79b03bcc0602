"""The gradient of a score by the pixels is what moving the pixels shows."""

import numpy as np
import pytest

from alexnet_tf.evaluation import saliency
from alexnet_tf.models import architecture, trained
from tests.support import image_sets as sets
from tests.support import nets, runs

LINEAR = architecture.Architecture(
    name="linear",
    description="one dense layer",
    input_size=6,
    record_size=8,
    towers=1,
    layers=(architecture.Dense("fc1", units=3, inputs="both", split=False),),
)


def restore(folder, net, **described):
    return trained.restore(
        runs.write_untrained(folder / "run", net, **described), inputs="pixels"
    )


def test_the_gradient_of_a_linear_net_is_its_weights(tmp_path):
    model = restore(tmp_path, LINEAR).model
    (kernel,) = (v for v in model.trainable_variables if v.ndim == 2)
    pixels = sets.noise(3, 6)
    scores, gradient = saliency.gradients(model, pixels, [2, 0, 2])
    weights = kernel.numpy().reshape(6, 6, 3, 3)
    for image, label in enumerate([2, 0, 2]):
        np.testing.assert_allclose(gradient[image], weights[..., label], rtol=1e-6)
        by_hand = ((pixels[image] - 100.0) * weights[..., label]).sum()
        assert scores[image] == pytest.approx(by_hand, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("label", [0, 4])
def test_the_gradient_is_that_of_finite_differences(tmp_path, label):
    """Changing all pixels along the gradient's signs adds up what single ones would."""
    model = restore(tmp_path, nets.SMALL).model
    pixels = sets.noise(1, 99, seed=3).astype(np.float32)
    _, gradient = saliency.gradients(model, pixels, [label])
    rng = np.random.default_rng(0)
    score = saliency.score_model(model)
    for _ in range(3):
        # Half of the pixels, so that an error in any region shows.
        direction = np.sign(gradient) * rng.integers(0, 2, pixels.shape)
        step = 0.05
        up, down = (
            score(pixels + sign * step * direction).numpy()[0, label]
            for sign in (1, -1)
        )
        slope = (up - down) / (2 * step)
        assert slope == pytest.approx((gradient * direction).sum(), rel=0.02)


def test_single_pixels_of_a_trained_net_agree_with_finite_differences(trained_run):
    model = trained.restore(trained_run, inputs="pixels").model
    pixels = sets.noise(1, 24, seed=5).astype(np.float32)
    _, gradient = saliency.gradients(model, pixels, [1])
    score = saliency.score_model(model)
    strongest = np.argsort(-np.abs(gradient), axis=None)[:8]
    for place in strongest:
        where = np.unravel_index(place, pixels.shape)
        moved = np.concatenate([pixels, pixels])
        moved[(0, *where[1:])] += 0.5
        moved[(1, *where[1:])] -= 0.5
        up, down = score(moved).numpy()[:, 1]
        assert up - down == pytest.approx(gradient[where], rel=0.1)


def test_the_score_is_what_enters_the_softmax(trained_run):
    model = trained.restore(trained_run, inputs="pixels").model
    pixels = sets.noise(2, 24)
    scores = saliency.score_model(model)(pixels).numpy()
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        model(pixels).numpy(), probabilities, rtol=1e-4, atol=1e-9
    )


def test_saliency_is_the_largest_channel():
    gradient = np.array([[[1, -3, 2], [0, 0.5, -0.25]]])
    assert saliency.saliency(gradient).tolist() == [[3, 0.5]]


def test_a_class_that_the_net_does_not_have_is_refused(trained_run):
    model = trained.restore(trained_run, inputs="pixels").model
    for label in (3, -1):
        with pytest.raises(ValueError, match=f"class {label} is not one of .* 0 to 2"):
            saliency.gradients(model, sets.noise(1, 24), [label])
