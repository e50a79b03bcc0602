"""The variants that tools/benchmarks/training.py times in PyTorch.

    python tools/benchmarks/training_torch.py VARIANT,PRECISION,BATCH_SIZE

serves one variant to its parent (see step_worker.py). It runs in an environment of its
own (torch==2.13.0), without TensorFlow. The nets use channels last, grouped
convolutions and PyTorch's LocalResponseNorm, under autocast for bfloat16.
"""

import sys

import step_worker
import torch
from torch import nn


def paper() -> nn.Module:
    """The paper's net with grouped convolutions."""
    lrn = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)),
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.LocalResponseNorm(**lrn)),
        nn.MaxPool2d(3, 2),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU()),
        *(nn.LocalResponseNorm(**lrn), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.MaxPool2d(3, 2), *_head()),
    )


def one_tower() -> nn.Module:
    """torchvision's AlexNet, layer by layer: 64, 192, 384, 256, 256; no LRN."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool2d(3, 2), *_head()),
    )


def _head():
    return (
        nn.Flatten(),
        *(nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, 1000),
    )


def training_step(net: nn.Module, precision: str, batch_size: int, device: str = "cpu"):
    """A call that begins one training step and returns its loss, a tensor."""
    net = net.to(device, memory_format=torch.channels_last)
    rule = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4)
    images = torch.randint(0, 256, (batch_size, 3, 224, 224), dtype=torch.uint8)
    images = images.to(device, memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (batch_size,)).to(device)

    def step():
        narrow = precision == "bfloat16"
        with torch.autocast(device, torch.bfloat16, enabled=narrow):
            logits = net(images.float() - 118)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        rule.zero_grad()
        loss.backward()
        rule.step()
        return loss

    return step


def main():
    variant, precision, batch_size = sys.argv[1].split(",")
    nets = {"torch": paper, "torch_one_tower": one_tower}
    step = training_step(nets[variant](), precision, int(batch_size))
    step_worker.answer_questions(lambda: step().item())


if __name__ == "__main__":
    main()
