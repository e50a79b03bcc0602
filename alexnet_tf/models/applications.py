"""AlexNet, preprocess_input and decode_predictions, as in keras.applications."""

import os
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import (
    architecture_json,
    builder,
    checkpoint_files,
    layers,
    loaded_net,
    resize_rule,
    resizing,
    saved_weights,
    trained,
    zoo,
)
from alexnet_tf.models.layers import arguments

# Red, green, blue: the center of the 2012 program's ILSVRC mean image, 0-255.
MEAN_RGB = (127.2, 118.6, 103.4)

DEFAULT_ARCHITECTURE = "paper"

_POOLINGS = {
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


def AlexNet(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
    *,
    architecture: str | None = None,
    lrn: layers.Implementation = "auto",
    initialization: builder.Initialization | None = None,
    dropout: layers.DropoutConvention | None = None,
    seed: int = 0,
) -> keras.Model:
    """AlexNet in the manner of keras.applications.

    The arguments before `architecture` are those of `keras.applications.VGG16`, in the
    same order. The differences: no weights come with this package, so `weights` is None
    by default; without its top the net still has one input size by default; and images
    have channels last whatever Keras' `image_data_format` is.

    It computes in float32, or in the 16-bit type of a global mixed-precision policy
    (`keras.config.set_dtype_policy("mixed_bfloat16")`, or "mixed_float16"). Its weights
    are float32 and so are its probabilities or logits; without its top, the output has
    the type that the net computes in. Keras' other global settings have no effect.

    Args:
        include_top: False ends at the last pooling, [N, 6, 6, 256] at 224 pixels.
        weights: None for random initial weights; or a run folder of
            `python -m alexnet_tf.train` or `import_weights`, one checkpoint in it, or a
            `.weights.h5` or `.keras` file of the same net.
        input_tensor: a Keras tensor of images as `preprocess_input` makes them, of a
            float type; the model's inputs are those that it was computed from.
        input_shape: (height, width, 3); default the shape of `input_tensor`, or else
            the architecture's own, (224, 224, 3), and (227, 227, 3) for Caffe's two
            nets. With its top the net needs a square. Without its top, height and width
            may differ, and each may be None for images of any size, except in the
            CIFAR-10 nets, whose unshared convolutions have weights for every position.
        pooling: without the top, None returns a map [N, H, W, C], "avg" or "max" its
            average or maximum over all positions, [N, C]. With the top it is ignored.
        classes: outputs of the last layer; default that of the weights, else 1000. It
            is ignored without the top.
        classifier_activation: of the last layer; None gives logits. It is ignored
            without the top.
        name: of the model.
        architecture: a name in `zoo.ARCHITECTURES`; default that of the weights, else
            "paper".
        dropout: "original" or "inverted"; default that of the weights, else that of the
            architecture's original ("inverted" for Caffe's nets and torchvision's).
        lrn, initialization, seed: see `builder.build`.

    Returns: a model of float images [N, H, W, 3], as `preprocess_input` makes them.

    Raises:
        ValueError: for an input shape that the net cannot take, or weights of another
            net or another number of classes; the message says what to do.
        FileNotFoundError: for a file of weights that does not exist.
        CheckpointError: for a run folder without a checkpoint, or a damaged one.

    Example:
        >>> images = np.full((2, 224, 224, 3), 128, np.uint8)
        >>> AlexNet(classes=10)(preprocess_input(images)).shape
        TensorShape([2, 10])
        >>> AlexNet(include_top=False, input_shape=(None, None, 3), pooling="avg").output_shape
        (None, 256)
    """
    if not isinstance(include_top, bool | np.bool_):
        raise ValueError(
            f"include_top must be True or False, got {include_top!r}: name the weights, "
            "as AlexNet(weights=...)"
        )
    if pooling is not None:
        arguments.one_of("pooling", pooling, tuple(_POOLINGS))
    saved = None if weights is None else saved_weights.SavedWeights(weights)
    net = _choose_net(saved, architecture, classes if include_top else None)
    if net.classes == 1 and include_top and classifier_activation == "softmax":
        raise ValueError(
            "the softmax of one class is always 1: use classes=1 with "
            "classifier_activation='sigmoid' or None, or classes=2"
        )
    image = _image(net, input_tensor, input_shape, include_top)
    height, width = image.shape[1:3]
    if None in (height, width):
        least = architectures.least_side(net)
        image = layers.LeastSize(least, dtype=image.dtype, name="least_size")(image)
    if height is not None and height == width:
        net = net.with_input_size(image.shape[1:])  # as the saved model records it
    if dropout is None:
        dropout = saved.dropout if saved and saved.dropout else net.dropout
    class_names = saved.class_names if saved and include_top else None

    policy = _policy()

    def build(image: keras.KerasTensor) -> keras.Model:
        model = builder.build(
            net,
            image=image,
            policy=policy,
            lrn=lrn,
            initialization=initialization,
            dropout=dropout,
            seed=seed,
            include_top=include_top,
            classifier_activation=classifier_activation,
            name=name,
        )
        output = model.output
        if pooling is not None and not include_top:
            output = _POOLINGS[pooling](
                data_format="channels_last", dtype=policy, name=f"{pooling}_pool"
            )(output)
        described = layers.Provenance(
            architecture_json.to_json(net),
            dropout,
            class_names if class_names and len(class_names) == net.classes else None,
            saved.resize if saved else resize_rule.DEFAULT,
            name="provenance",
            dtype="float32" if include_top else policy,
        )
        return keras.Model(model.input, described(output), name=name)

    model = build(image)
    if saved is not None and input_tensor is None:
        saved.load_into(model)
    elif saved is not None:
        # What `input_tensor` was computed by may have weights of its own, which the
        # saved ones must not be mistaken for.
        alone = build(keras.Input(image.shape[1:], dtype=image.dtype))
        saved.load_into(alone)
        for layer in alone.layers:
            if layer.weights:
                model.get_layer(layer.name).set_weights(layer.get_weights())
    return model


def _choose_net(
    saved: saved_weights.SavedWeights | None,
    architecture: str | None,
    classes: int | None,
) -> architectures.Architecture:
    """Returns the net that the arguments name, or else that of the weights."""
    if architecture is not None:
        net = zoo.find(architecture)
    elif saved is None:
        net = zoo.find(DEFAULT_ARCHITECTURE)
    elif saved.architecture is not None:
        net = saved.net()
    else:
        raise ValueError(
            f"{saved.path} does not say which architecture its weights belong to: "
            f"name it, as architecture={DEFAULT_ARCHITECTURE!r}"
        )
    if classes is None and saved is not None and saved.architecture is not None:
        classes = saved.net().classes
    return net if classes is None else net.with_classes(classes, least=1)


def _image(
    net: architectures.Architecture,
    tensor: keras.KerasTensor | None,
    shape: Sequence[int | None] | None,
    include_top: bool,
) -> keras.KerasTensor:
    """Returns the images that the net begins with; ValueError if it cannot take them."""
    if tensor is None:
        sides = (net.input_size, net.input_size, 3) if shape is None else shape
        return keras.Input(
            _checked_shape(net, sides, include_top), dtype="float32", name="image"
        )
    if not isinstance(tensor, keras.KerasTensor):
        raise ValueError(
            "input_tensor must be a Keras tensor, such as keras.Input(shape=(224, 224, 3)), "
            f"got {type(tensor).__name__}; a shape is named as input_shape=(224, 224, 3)"
        )
    if len(tensor.shape) != 4 or not keras.backend.is_float_dtype(tensor.dtype):
        raise ValueError(
            "input_tensor must be images [N, height, width, 3] of a float type, as "
            f"preprocess_input makes them, got {tensor.dtype} {list(tensor.shape)}"
        )
    found = _checked_shape(net, tensor.shape[1:], include_top)
    if shape is not None and tuple(shape) != found:
        raise ValueError(
            f"input_tensor has images of the shape {found}, and input_shape is "
            f"{tuple(shape)}: leave input_shape out"
        )
    return tensor


def _checked_shape(
    net: architectures.Architecture, shape: Sequence[int | None], include_top: bool
) -> tuple[int | None, int | None, int]:
    """Returns the shape of an image; ValueError if the net cannot take such images."""
    if not isinstance(shape, Sequence) or len(shape) != 3 or shape[2] != 3:
        raise ValueError(f"input_shape must be (height, width, 3), got {shape}")
    height, width = (
        int(side) if architectures.is_whole_number(side) else side  # type: ignore[arg-type]
        for side in shape[:2]
    )
    unshared = [
        layer.name
        for layer in net.layers
        if isinstance(layer, architectures.UnsharedConvolution)
    ]
    known = [side for side in (height, width) if side is not None]
    if include_top and (len(known) < 2 or height != width):
        raise ValueError(
            f"input_shape must be (side, side, 3), got {(height, width, 3)}: the dense "
            "layers of its top read maps of one size. Without its top "
            + (
                "(include_top=False) the net takes other sizes"
                if not unshared
                else f"(include_top=False) {net.name} takes other fixed sizes"
            )
        )
    if unshared and len(known) < 2:
        raise ValueError(
            f"input_shape must be fixed, got {(height, width, 3)}: {net.name} has other "
            f"weights at every position in {', '.join(unshared)}"
        )
    for side in known:
        net.with_input_size((side, side, 3))  # refuses one that is too small
    return height, width, 3


def _policy() -> str:
    """The global dtype policy if it is one of mixed precision, else float32."""
    name = keras.config.dtype_policy().name
    return name if name in ("mixed_bfloat16", "mixed_float16") else "float32"


def preprocess_input(
    x,
    mean: Sequence[float] | np.ndarray | str | os.PathLike[str] = MEAN_RGB,
    *,
    data_format: Literal["channels_last"] | None = None,
):
    """Subtracts the mean from RGB pixels 0-255; returns float32.

    This is the input of every net of this package. What other frameworks do besides
    (BGR, pixels from 0 to 1, standard deviations) is in the weights of an imported net.
    Pixels are not rescaled, because AlexNet does not start to learn with pixels in
    [0, 1].

    Args:
        x: [..., H, W, 3], an array or a tensor, a Keras tensor too.
        mean: three channel means, a mean image [H, W, 3], or a run folder, whose mean
            is taken. A trained or imported net needs its own; the default is that of
            ILSVRC in the 2012 program.
        data_format: None or "channels_last", for code that names it.

    Raises:
        ValueError: `x` is not RGB with channels last, or the mean does not fit it.

    Example:
        >>> preprocess_input(np.full((1, 224, 224, 3), 128, np.uint8))[0, 0, 0].round(1)
        array([ 0.8,  9.4, 24.6], dtype=float32)
        >>> preprocess_input(np.zeros((1, 24, 24, 3)), mean="runs/mine").shape
        (1, 24, 24, 3)
    """
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"data_format must be 'channels_last', got {data_format!r}: transpose the "
            "images to [..., H, W, 3]"
        )
    if isinstance(mean, str | os.PathLike):
        run_dir, _ = checkpoint_files.locate_checkpoint(mean)
        mean = trained.read_trained_net(run_dir).mean
    mean = np.asarray(mean, np.float32)
    if isinstance(x, np.ndarray):
        resizing.warn_of_unit_pixels(x)
        x = x.astype(np.float32)
    else:
        x = keras.ops.cast(x, "float32")
    if len(x.shape) < 3 or x.shape[-1] != 3:
        raise ValueError(
            f"x must be RGB images [..., H, W, 3], got the shape {list(x.shape)}"
        )
    known = all(
        ours in (theirs, None)
        for ours, theirs in zip(x.shape[-3:], mean.shape, strict=False)
    )
    if mean.shape != (3,) and not (mean.ndim == 3 and known):
        raise ValueError(
            f"the mean must be three numbers or an image of the size of x, "
            f"{list(x.shape[-3:])}, got the shape {list(mean.shape)}: "
            "mean.mean(axis=(0, 1)) of a mean image fits images of any size"
        )
    return x - mean


def decode_predictions(
    preds,
    top: int = 5,
    class_names: "Sequence[str] | keras.Model | loaded_net.LoadedNet | None" = None,
) -> list[list[tuple[int, str, float]]]:
    """Returns the `top` classes of each row of `preds` [N, classes], best first.

    Args:
        preds: the scores.
        top: how many classes of each row.
        class_names: the names of the classes, or the net that computed `preds`: what
            `load` returns, or a model that holds its class names, as one of a `.keras`
            file does. Without it a class is called by its index.

    Returns:
        One list per image of (class index, class name, score).

    Raises:
        ValueError: the number of names is another than that of the classes, or the net
            does not hold its class names.

    Example:
        >>> decode_predictions([[0.1, 0.9]], top=1, class_names=["cat", "dog"])
        [[(1, 'dog', 0.9)]]
    """
    preds = np.asarray(preds)
    if preds.ndim != 2:
        raise ValueError(f"preds must be [N, classes], got shape {preds.shape}")
    if isinstance(class_names, str):
        raise ValueError(
            f"class_names must be a list of names or a net, got {class_names!r}: "
            f"alexnet_tf.load({class_names!r}) gives the net of a run folder"
        )
    if isinstance(class_names, keras.Model):
        class_names = loaded_net.LoadedNet(class_names)
    if isinstance(class_names, loaded_net.LoadedNet):
        class_names = class_names.class_names
    if class_names is not None and len(class_names) != preds.shape[1]:
        raise ValueError(
            f"class_names has {len(class_names)} names for {preds.shape[1]} classes"
        )
    if class_names is None:
        class_names = [str(index) for index in range(preds.shape[1])]
    return [
        [
            (int(i), class_names[i], float(row[i]))
            for i in loaded_net.best_classes(row, top)
        ]
        for row in preds
    ]
