"""Writes torchvision's AlexNet with random weights, some images, and their logits.

    python tools/checks/torchvision_reference.py FOLDER

tools/checks/torchvision.sh runs it in an environment that has torch and torchvision.
"""

import pathlib
import sys

import numpy as np
import torch
import torchvision

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(0)
model = torchvision.models.alexnet(weights=None).eval()
for weights in model.parameters():  # wide, so that the logits of images differ
    if weights.dim() > 1:
        torch.nn.init.kaiming_normal_(weights)
    else:
        torch.nn.init.normal_(weights)

state = model.state_dict()
torch.save(state, folder / "archive.pth")
torch.save(state, folder / "sequence.pth", _use_new_zipfile_serialization=False)
training = {
    "epoch": 90,
    "state_dict": torch.nn.DataParallel(model).state_dict(),
    "optimizer": torch.optim.SGD(model.parameters(), 0.1).state_dict(),
    "best_acc1": torch.tensor(56.5),
}
torch.save(training, folder / "checkpoint.pth")

images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
normalize = torchvision.transforms.Normalize(
    (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
)
scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
with torch.no_grad():
    logits = model(normalize(scaled))
np.save(folder / "images.npy", images)
np.save(folder / "logits.npy", logits.numpy())
