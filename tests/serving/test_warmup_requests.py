"""Warm-up requests are read as they were written."""

import numpy as np
import tensorflow as tf

from alexnet_tf.serving import warmup_requests


def test_warm_up_requests_are_read_back_as_they_were_written(exported):
    found = dict(warmup_requests.read_warmup_requests(exported))
    images = list(warmup_requests.example_images().values())
    assert found["serving_default"]["image_bytes"].tolist() == images
    examples = [tf.train.Example.FromString(e) for e in found["classify"]["inputs"]]
    kept = [e.features.feature["image/encoded"].bytes_list.value[0] for e in examples]
    assert kept == images
    image = found["predict_images"]["image"]
    assert (image.dtype, image.shape) == (np.uint8, (1, 64, 80, 3))
    assert found["predict_float_images"]["image"].dtype == np.float32
