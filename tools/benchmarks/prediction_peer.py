"""PyTorch's AlexNet on files, for tools/benchmarks/prediction.py.

    python tools/benchmarks/prediction_peer.py FOLDER WORKERS

classifies the JPEGs in FOLDER with torchvision's AlexNet at batch
128 in channels-last float32, read by a DataLoader with WORKERS workers and torchvision's
usual transforms. It runs in an environment of its own (torch and torchvision), and
prints the images per second, without the time that importing and loading take.
"""

import pathlib
import sys
import time

import torch
import torchvision
from PIL import Image
from torchvision import transforms

BATCH = 128


class Files(torch.utils.data.Dataset):
    """The images of some files as the net reads them."""

    def __init__(self, files):
        self._files = files
        self._transform = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self):
        return len(self._files)

    def __getitem__(self, index):
        return self._transform(Image.open(self._files[index]).convert("RGB"))


def main(folder: str, workers: int) -> None:
    files = sorted(pathlib.Path(folder).rglob("*.jpg"))
    net = torchvision.models.alexnet(weights=None).eval()
    net = net.to(memory_format=torch.channels_last)

    def classify(images):
        images = images.to(memory_format=torch.channels_last)
        return net(images).softmax(1).topk(5)

    with torch.inference_mode():
        classify(torch.rand(BATCH, 3, 224, 224))
        start = time.perf_counter()
        loader = torch.utils.data.DataLoader(Files(files), BATCH, num_workers=workers)
        for images in loader:
            classify(images)
        print(len(files) / (time.perf_counter() - start))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
