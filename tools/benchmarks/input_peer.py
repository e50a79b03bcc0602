"""One other loader for tools/benchmarks/input.py, without alexnet_tf and TensorFlow.

    python tools/benchmarks/input_peer.py NAME FOLDER_OF_JPEGS CROP BATCH

runs in the loader's own environment. It prints the seconds per image from the files to
batches of random crops, uint8, in shuffled order. It uses the cores that its parent
allows, which is one core.
"""

import io
import pathlib
import sys
import tarfile
import tempfile
import time

name, folder, crop, batch = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
files = sorted(map(str, pathlib.Path(folder).iterdir()))


def torch_decoder():
    import torch
    from torchvision import io as image_io
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    cut = v2.RandomCrop(crop)
    return lambda encoded: cut(image_io.decode_jpeg(encoded))


def torch_loader():
    from torch.utils import data
    from torchvision import io as image_io

    decode = torch_decoder()

    class Files(data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, index):
            return decode(image_io.read_file(files[index])), index % 1000

    return data.DataLoader(Files(), batch_size=batch, shuffle=True, drop_last=True)


def webdataset_loader():
    import torch
    import webdataset

    decode = torch_decoder()
    path = pathlib.Path(tempfile.mkdtemp(dir=folder + "/.."), "images.tar")
    with tarfile.open(path, "w") as tar:
        for number, file in enumerate(files):
            tar.add(file, f"{number:06}.jpg")
            label = str(number % 1000).encode()
            entry = tarfile.TarInfo(f"{number:06}.cls")
            entry.size = len(label)
            tar.addfile(entry, io.BytesIO(label))
    return (
        webdataset.WebDataset(str(path), shardshuffle=False)
        .shuffle(1000)
        .to_tuple("jpg", "cls")
        .map_tuple(
            lambda jpg: decode(torch.frombuffer(bytearray(jpg), dtype=torch.uint8)), int
        )
        .batched(batch, partial=False)
    )


def dali_loader():
    from nvidia.dali import fn, pipeline_def

    @pipeline_def(batch_size=batch, num_threads=1, device_id=None, seed=1)
    def crops():
        encoded, labels = fn.readers.file(
            files=files,
            labels=[number % 1000 for number in range(len(files))],
            random_shuffle=True,
        )
        place = [fn.random.uniform(range=(0, 1)) for _ in range(2)]
        images = fn.decoders.image_crop(
            encoded,
            device="cpu",
            crop=(crop, crop),
            crop_pos_x=place[0],
            crop_pos_y=place[1],
        )
        return images, labels

    pipeline = crops()
    pipeline.build()
    while True:  # the reader starts over at the end
        yield pipeline.run()


def grain_loader():
    import grain
    import numpy as np
    from PIL import Image

    def load(index, rng):
        image = np.asarray(Image.open(files[index]))
        top, left = rng.integers(0, image.shape[0] - crop + 1, 2)
        return image[top : top + crop, left : left + crop], index % 1000

    return (
        grain.MapDataset.range(len(files))
        .shuffle(seed=0)
        .seed(0)
        .repeat()
        .random_map(load)
        .batch(batch, drop_remainder=True)
        .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4))
    )


LOADERS = {
    "torch DataLoader": torch_loader,
    "webdataset": webdataset_loader,
    "dali": dali_loader,
    "grain": grain_loader,
}


def batches():
    while True:
        yield from LOADERS[name]()


def seconds_per_image() -> float:
    source = batches()
    for _ in range(3):
        next(source)
    count = max(2, len(files) // batch)
    start = time.perf_counter()
    for _ in range(count):
        next(source)
    return (time.perf_counter() - start) / (count * batch)


if __name__ == "__main__":
    print(seconds_per_image())
