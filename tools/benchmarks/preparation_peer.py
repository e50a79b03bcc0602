"""One other way to prepare images, for tools/benchmarks/preparation.py.

    python tools/benchmarks/preparation_peer.py NAME FOLDER SIDE ENCODING

decodes each file in FOLDER, scales its shorter side to SIDE pixels, cuts out the center
square, and encodes it as "jpeg" of quality 95, or takes the pixels if ENCODING is
"raw". It runs in the peer's own environment and on the cores that its parent allows,
and prints the seconds per image.
"""

import io
import pathlib
import sys
import time

name, folder, side, encoding = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
files = sorted(pathlib.Path(folder).rglob("*.jpg"))


def pillow_loop():
    from PIL import Image

    def prepare(data):
        image = Image.open(io.BytesIO(data)).convert("RGB")
        scale = side / min(image.size)
        width, height = (round(length * scale) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        if encoding == "raw":
            return image.tobytes()
        file = io.BytesIO()
        image.save(file, "JPEG", quality=95)
        return file.getvalue()

    return prepare


def opencv_loop():
    import cv2
    import numpy as np

    cv2.setNumThreads(1)

    def prepare(data):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        scale = side / min(image.shape[:2])
        height, width = (round(length * scale) for length in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        left, top = (width - side) // 2, (height - side) // 2
        image = image[top : top + side, left : left + side]
        if encoding == "raw":
            return image.tobytes()
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
        return cv2.imencode(".jpg", image, quality)[1].tobytes()

    return prepare


def img2dataset_loop():
    import cv2
    from img2dataset import resizer

    cv2.setNumThreads(1)
    resize = resizer.Resizer(
        image_size=side,
        resize_mode="center_crop",
        resize_only_if_bigger=False,
        encode_quality=95,
    )

    def prepare(data):
        encoded, *_, error = resize(io.BytesIO(data))
        if error:
            raise ValueError(error)
        return encoded

    return prepare


prepare = {
    "pillow": pillow_loop,
    "opencv": opencv_loop,
    "img2dataset": img2dataset_loop,
}[name]()
for file in files[:8]:
    prepare(file.read_bytes())
start = time.perf_counter()
for file in files:
    prepare(file.read_bytes())
print((time.perf_counter() - start) / len(files))
