"""Figures of images, maps, gradients and confusions show the data that they come with."""

import io
import itertools

import numpy as np
import pytest
from matplotlib import text as text_of
from PIL import Image

from alexnet_tf.drawing import confusion, maps, nearest, predictions, saliency
from alexnet_tf.evaluation import answers, image_sets
from alexnet_tf.evaluation import confusion as counts
from alexnet_tf.evaluation import nearest as search
from tests.support import arrays
from tests.support import image_sets as sets

NAMES = (
    "cat",
    "dog",
    "猫",
    "a class whose name is much too long for any bar",
    "e",
    "f",
)


def pixels_of(figure):
    return np.asarray(Image.open(io.BytesIO(figure.encoded())).convert("RGB"))


def chosen(probabilities, labels):
    images = sets.noise(len(labels), 24)
    return answers.Chosen(
        [
            answers.Answer(n, f"folder/{n}.png", images[n], label, np.float32(row))
            for n, (row, label) in enumerate(zip(probabilities, labels, strict=True))
        ],
        len(labels),
    )


def bars_of(figure):
    """The widths of the bars below the only image, from above, and whether each is orange."""
    pixels = pixels_of(figure)
    found = []
    for orange, color in ((True, "#F3BD9A"), (False, "#BBD8EC")):
        rgb = [int(color[n : n + 2], 16) for n in (1, 3, 5)]
        rows = (pixels == rgb).all(axis=2).sum(axis=1)
        # The text on a bar hides parts of its rows, but none of its lowest.
        edges = np.flatnonzero(np.diff(rows > 0, prepend=False, append=False))
        for top, bottom in edges.reshape(-1, 2):
            found.append((int(top), int(rows[top:bottom].max()), orange))
    return [(width, orange) for _, width, orange in sorted(found)]


def test_bars_are_as_long_as_the_probabilities_and_the_true_one_is_orange():
    row = [0.05, 0.5, 0.25, 0.125, 0.0625, 0.0125]
    figure = predictions.draw(chosen([row], [2]), NAMES, "RUN", "x")
    expected = [(96, False), (48, True), (24, False), (12, False), (10, False)]
    bars = bars_of(figure)
    assert [orange for _, orange in bars] == [orange for _, orange in expected]
    for (width, _), (wanted, _) in zip(bars, expected, strict=True):
        assert width == pytest.approx(wanted, abs=2)


def texts_of(figure):
    """The texts that are drawn on a sheet: (left, text) of each, from above."""
    (axes,) = figure.picture.axes
    found = [
        (*text.get_position(), text.get_text().lstrip("\u200e")) for text in axes.texts
    ]
    return [(left, text) for left, _, text in sorted(found, key=lambda each: each[1])]


def test_the_true_class_is_written_above_and_each_bars_class_on_it():
    rows = [[0.1, 0.6, 0.0, 0.0, 0.3, 0.0], [0.004, 0.996, 0, 0, 0, 0]]
    figure = predictions.draw(chosen(rows, [4, 1]), NAMES, "RUN", "x")
    first, second = (
        [text for left, text in texts_of(figure) if left // 208 == column]
        for column in range(2)
    )
    assert first[:4] == ["✗ e", "60 % dog", "30 % ✓ e", "10 % cat"]
    assert second[:3] == ["✓ dog", "100 % ✓ dog", "<1 % cat"]


def test_a_net_of_two_classes_has_two_bars():
    figure = predictions.draw(chosen([[0.25, 0.75]], [0]), NAMES[:2], "RUN", "x")
    assert len(bars_of(figure)) == 2
    assert "the 2 classes that RUN finds most probable" in figure.caption
    assert figure.text == "folder/0.png, cat (wrong): dog 75 %, cat 25 %"


def test_an_unknown_class_has_no_mark():
    row = np.eye(6)[3]
    figure = predictions.draw(
        chosen([row], [image_sets.UNKNOWN]), NAMES, "RUN", "a folder"
    )
    assert bars_of(figure) == [(192, False)]
    assert figure.caption.startswith("1 image of a folder, chosen at random")
    assert "The true classes are not known" in figure.caption
    assert figure.text.startswith("folder/0.png: a class whose name is much too long")


def test_predictions_come_with_what_they_show():
    rows = np.random.default_rng(0).dirichlet(np.ones(6), 9).astype(np.float32)
    labels = [0, 1, 2, 3, 4, 5, 0, -1, 2]
    given = chosen(rows, labels)
    figure = predictions.draw(given, NAMES, "RUN", "x")
    np.testing.assert_array_equal(figure.data["probabilities"], rows)
    np.testing.assert_array_equal(figure.data["labels"], labels)
    np.testing.assert_array_equal(figure.data["pixels"], sets.noise(9, 24))
    assert figure.data["classes"].tolist() == list(NAMES)
    # Each image is 192 pixels, eight times its 24, at a place in four columns.
    shown = pixels_of(figure)
    for number, image in enumerate(sets.noise(9, 24)):
        left = 16 + number % 4 * (192 + 16)
        top = 16 + number // 4 * (16 + 192 + 5 * 17 + 2 * 16) + 18
        found = shown[top : top + 192, left : left + 192]
        np.testing.assert_array_equal(found[4::8, 4::8], image)


def found_of(labels, neighbor_labels, distances):
    queries = image_sets.Batch(
        np.arange(len(labels)), sets.noise(len(labels), 25), np.array(labels)
    )
    space = search.Nearest(
        np.array(distances, float),
        np.arange(np.size(distances)).reshape(np.shape(distances)),
        np.array(neighbor_labels),
    )
    pixels = space._replace(labels=np.zeros_like(space.labels))
    return search.Found(queries, {"fc7": space, search.PIXELS: pixels}, 50)


def test_the_rows_show_queries_and_what_was_found():
    found = found_of([0, 1], [[0, 1], [1, 1]], [[1, 2], [3, 4000]])
    neighbors = sets.noise(4, 25, seed=1).reshape(2, 2, 25, 25, 3)
    figure = nearest.draw(
        *(found, neighbors, "fc7", NAMES, "RUN"),
        **{"where": "the test split", "searched": "train", "count": 60},
    )
    shown = pixels_of(figure)
    for row, column in itertools.product(range(2), range(3)):
        top = 26 + row * (100 + 2 * 16 + 10)
        left = 10 if column == 0 else 140 + (column - 1) * 110
        found_there = shown[top : top + 100, left : left + 100]
        image = sets.noise(2, 25)[row] if column == 0 else neighbors[row, column - 1]
        np.testing.assert_array_equal(found_there[2::4, 2::4], image)
        framed = (shown[top + 50, left - 2] == (0xD5, 0x5E, 0)).all()
        assert framed == ((row, column) == (0, 2))  # a dog for a cat
    below = [text for left, text in texts_of(figure) if text not in ("query", "")][1:]
    assert below == [*("cat", "cat", "dog"), "1", "2", *("dog",) * 3, "3", "4,000"]
    assert "and the 2 images whose fc7 in RUN is nearest" in figure.caption
    assert "50 of the 60 images of train were searched." in figure.caption
    assert figure.alternative == "cat: cat, dog. dog: dog, dog."


@pytest.mark.parametrize(
    ("distances", "written"),
    [
        ([3.4, 11.25], ["3.4", "11.2"]),
        ([0.0, 4000.0], ["0", "4,000"]),
        ([0.00123, 0.02], ["0.0012", "0.0200"]),
        ([2.0, 9.999], ["2.00", "10.00"]),
    ],
)
def test_all_distances_of_a_figure_have_one_format(distances, written):
    decimals = nearest.decimals_of(np.array(distances))
    assert [f"{each:,.{decimals}f}" for each in distances] == written


def test_precision_stands_beside_that_of_raw_pixels():
    found = found_of([0, 1, 1], [[0, 1], [1, 1], [1, 0]], np.ones((3, 2)))
    figure = nearest.draw(
        found,
        np.zeros((1, 2, 25, 25, 3), np.uint8),
        "fc7",
        NAMES,
        "RUN",
        **{"where": "", "searched": "train", "count": 50},
    )
    assert "All 50 images of train were searched." in figure.caption
    _, head, cat, dog, both = figure.text.splitlines()
    assert head.split() == ["class", "queries", "fc7", "pixels"]
    assert cat.split() == ["cat", "1", "50.0", "100.0"]
    assert dog.split() == ["dog", "2", "75.0", "0.0"]
    assert both.split() == ["all", "3", "66.7", "33.3"]
    np.testing.assert_allclose(figure.data["precision"][:2], [0.5, 0.75])
    assert np.isnan(figure.data["precision"][2:]).all()


def test_queries_of_unknown_classes_have_no_precision_and_no_frames():
    found = found_of([-1], [[0, 1]], [[1, 2]])
    figure = nearest.draw(
        found,
        np.zeros((1, 2, 25, 25, 3), np.uint8),
        "fc7",
        NAMES,
        "RUN",
        **{"where": "", "searched": "", "count": 50},
    )
    assert figure.text == ""
    assert "precision" not in figure.data
    assert "frame" not in figure.caption
    assert figure.alternative == "query 1: cat, dog."


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shape", [(2, 13, 13, 20), (1, 55, 55, 3), (1, 2, 5, 1)])
def test_maps_can_be_read_back_from_the_pixels(shape, signed):
    values = arrays.noise(*shape) if signed else np.abs(arrays.noise(*shape))
    (image,) = sets.noise(1, 24)
    figure = maps.draw(values, image, "conv1", "RUN", "a.png")
    shown, scale = pixels_of(figure).astype(float), figure.data["scale"]
    for tower, number in itertools.product(range(shape[0]), range(shape[3])):
        left, top, right, bottom = figure.data["boxes"][tower, number]
        box = shown[top:bottom, left:right]
        zoom = (bottom - top) // shape[1]
        gray = box[::zoom, ::zoom, 0]
        found = (gray - 127.5) / 127.5 * scale if signed else gray / 255 * scale
        expected = np.clip(values[tower, :, :, number], -scale, scale)
        np.testing.assert_allclose(found, expected, atol=0.51 * scale / 127)
    assert ("0 is gray" in figure.caption) == signed


def test_one_map_is_drawn_large_and_counted_over_both_towers():
    values = np.zeros((2, 4, 4, 3), np.float32)
    values[1, :, :, 1] = np.arange(16).reshape(4, 4)
    figure = maps.draw(values, sets.noise(1, 24)[0], "conv1", "RUN", "a.png", channel=4)
    ((box,),) = figure.data["boxes"]
    assert box[2] - box[0] >= 300
    shown = pixels_of(figure)[box[1] : box[3], box[0] : box[2], 0]
    zoom = len(shown) // 4
    assert shown[0, 0] == 0
    assert shown[-zoom, -zoom] == 255
    assert figure.text == "conv1, map 4"
    with pytest.raises(ValueError, match="conv1 has 6 maps, so name one of 0 to 5"):
        maps.draw(values, sets.noise(1, 24)[0], "conv1", "RUN", "a.png", channel=6)


def test_silent_maps_are_counted():
    values = np.zeros((2, 4, 4, 3), np.float32)
    values[0, 2, 2, :2] = 1
    figure = maps.draw(values, sets.noise(1, 24)[0], "conv1", "RUN", "a.png")
    assert figure.text.splitlines() == [
        "conv1, tower 0: 1 of 3 maps are 0 everywhere",
        "conv1, tower 1: 3 of 3 maps are 0 everywhere",
    ]


def test_gradients_are_gray_where_they_are_0_and_saliency_is_black():
    gradient = np.zeros((10, 10, 3))
    gradient[2, 3] = gradient[8, 8] = (4, -4, 2)
    colors, gray = (
        saliency.gradient_pixels(gradient),
        saliency.saliency_pixels(gradient),
    )
    assert colors[0, 0].tolist() == [128, 128, 128]
    assert colors[2, 3].tolist() == [255, 0, 191]
    assert gray[0, 0].tolist() == [0, 0, 0]
    assert gray[2, 3].tolist() == [255, 255, 255]


def test_saliency_stands_beside_its_image():
    given = chosen(np.full((2, 6), 1 / 6), [0, 1]).answers
    gradients = arrays.noise(2, 24, 24, 3)
    scores = np.array([1.5, -2.0], np.float32)
    figure = saliency.draw(given, [4, 1], scores, gradients, NAMES, "RUN", "x")
    shown = pixels_of(figure)
    for row in range(2):
        top = 14 + row * (16 + 2 + 200 + 14) + 18
        columns = (
            given[row].pixels,
            saliency.gradient_pixels(gradients[row]),
            saliency.saliency_pixels(gradients[row]),
        )
        for column, expected in enumerate(columns):
            left = 14 + column * 214
            box = shown[top : top + 200, left : left + 200].astype(float)
            # 200 is no multiple of 24, so means are compared, over 6 of 24 pixels.
            coarse = box.reshape(4, 50, 4, 50, 3).mean(axis=(1, 3))
            wanted = expected.reshape(4, 6, 4, 6, 3).mean(axis=(1, 3))
            np.testing.assert_allclose(coarse, wanted, atol=12)
    above = [text for _, text in texts_of(figure)]
    assert above[:3] == ["cat (0.png)", "e: score 1.5, 16.7 %", "saliency"]
    assert above[3:] == ["dog (1.png)", "dog: score -2, 16.7 %", "saliency"]
    assert figure.data["gradients"] is gradients
    assert figure.text.splitlines()[0].startswith("cat (0.png), e: score 1.5, 16.7 %")


def counted(classes, labels, answers_given, confidence=0.75):
    found = counts.Confusion(classes)
    probabilities = np.full((len(labels), classes), (1 - confidence) / (classes - 1))
    probabilities[np.arange(len(labels)), answers_given] = confidence
    found.add(range(len(labels)), labels, probabilities)
    return found


def draw_confusion(found, images=()):
    names = [f"class {n}" for n in range(len(found.matrix))]
    return confusion.draw(
        found,
        images,
        names,
        "RUN",
        "x",
        names=[f"{mistake.image}.png" for mistake in found.mistakes],
    )


def matrix_axes(figure):
    return next(axes for axes in figure.picture.axes if axes.get_xlabel() == "answer")


def test_rows_of_the_matrix_are_shares_of_the_true_class():
    found = counted(3, [0, 0, 0, 0, 1], [0, 0, 0, 2, 0])
    figure = draw_confusion(found, sets.noise(2, 24))
    axes = matrix_axes(figure)
    shares = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    np.testing.assert_allclose(
        shares, [[0.75, 0, 0.25], [1, 0, 0], [np.nan, np.nan, np.nan]]
    )
    written = {(t.get_position(), t.get_text()) for t in axes.texts}
    assert written == {((0, 0), "3"), ((2, 0), "1"), ((0, 1), "1")}
    np.testing.assert_array_equal(figure.data["matrix"], found.matrix)
    assert figure.data["mistakes"].tolist() == ["3.png", "4.png"]
    lines = figure.text.splitlines()
    assert lines[0] == "error, 5 images, center crop: 40.00 %"
    assert lines[2].split() == ["class", "1", "1", "100.0"]
    assert "3.png: class 2 75.0 %, but class 0" in lines


def test_confident_errors_have_their_answer_above_and_their_true_class_below():
    images = sets.noise(2, 24)
    figure = draw_confusion(counted(3, [0, 2], [2, 1]), images)
    shown = [axes for axes in figure.picture.axes if axes.images and axes.texts][-2:]
    for axes, pixels, answer, label in zip(shown, images, (2, 1), (0, 2), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), pixels)
        assert axes.get_title() == f"class {answer}\n75 %"
        assert axes.texts[0].get_text() == f"true: class {label}"


def test_classes_stand_beside_their_rows_columns_and_errors():
    figure = draw_confusion(counted(3, [0, 0, 1, 1], [0, 2, 0, 2]))
    matrix = matrix_axes(figure)
    names = [f"class {n}" for n in range(3)]
    for axis in (matrix.xaxis, matrix.yaxis):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        assert dict(zip(axis.get_ticklocs(), labels, strict=True)) == dict(
            enumerate(names)
        )
    errors = next(a for a in figure.picture.axes if "dashed" in a.get_xlabel())
    bars = [bar.get_width() for bar in errors.patches]
    labels = [label.get_text() for label in errors.get_yticklabels()]
    assert list(zip(labels, bars, strict=True)) == [("class 1", 100), ("class 0", 50)]
    assert [text.get_text() for text in errors.texts] == ["100.0", "50.0"]
    assert errors.get_xlabel() == "dashed: all images, 75.0 %"


def test_a_net_without_errors_has_no_images_of_errors():
    figure = draw_confusion(counted(2, [0, 1], [0, 1]))
    assert figure.alternative.startswith("0.00 % of 2 images are answered wrong.")
    assert "most confident of" not in figure.caption
    pixels_of(figure)


def test_every_cell_of_a_thousand_classes_is_a_pixel_of_the_picture():
    rng = np.random.default_rng(0)
    labels, given = rng.integers(0, 1000, (2, 3000))
    figure = draw_confusion(counted(1000, labels, given), sets.noise(8, 24))
    axes, shown = matrix_axes(figure), pixels_of(figure)
    for row, column in zip(labels[:200], given[:200], strict=True):
        x, y = axes.transData.transform((column, row))
        color = shown[len(shown) - 1 - int(y), int(x)]
        assert (color < 240).any(), (row, column)


def test_more_classes_are_drawn_in_blocks_of_their_largest_cell():
    matrix = np.zeros((2500, 2500), np.int64)
    matrix[2499, 7] = 5
    blocks = confusion.blocks(matrix)
    assert blocks.shape == (834, 834)
    assert blocks[833, 2] == 5
    assert blocks.sum() == 5


@pytest.mark.parametrize("classes", [2, 3, 10, 21, 100])
def test_no_two_texts_of_a_confusion_overlap(classes):
    rng = np.random.default_rng(0)
    labels, given = rng.integers(0, classes, (2, 500))
    figure = draw_confusion(counted(classes, labels, given), sets.noise(8, 24))
    pixels_of(figure)  # which lays it out
    hidden = {
        label
        for axes in figure.picture.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.findobj(text_of.Text)
        if not axes.axison
    }
    shown = [
        (text.get_text(), text.get_window_extent())
        for text in set(figure.picture.findobj(text_of.Text)) - hidden
        if text.get_text().strip() and text.get_visible()
    ]
    assert len(shown) > 2 * classes or classes > 50
    for (one, box), (other, other_box) in itertools.combinations(shown, 2):
        # The extents have a little air, and numbers in cells stand close.
        assert not box.shrunk(0.8, 0.8).overlaps(other_box.shrunk(0.8, 0.8)), (
            one,
            other,
        )
    heading, box = next(each for each in shown if "confident" in each[0])
    lowest = box.y1 - box.height / len(heading.split("\n"))  # of its first line
    titles = [axes.title.get_window_extent().y1 for axes in figure.picture.axes[-8:]]
    assert lowest - max(titles) >= 8  # pixels
