"""Writes what the lpips package computes with a random trunk, and the files for it.

    python tools/checks/lpips_reference.py FOLDER

FOLDER gets torchvision.pth, alex.pth (the package's own heads), random.pth, and pairs
of images with their distances. tools/checks/lpips.sh runs this in an environment that
has torch, torchvision and lpips.
"""

import pathlib
import shutil
import sys

import lpips
import numpy as np
import torch
import torchvision

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(0)
net = torchvision.models.alexnet(weights=None).eval()
for weights in net.parameters():  # wide, so that the activations of images differ
    if weights.dim() > 1:
        torch.nn.init.kaiming_normal_(weights)
    else:
        torch.nn.init.normal_(weights, std=0.1)
torch.save(net.state_dict(), folder / "torchvision.pth")

package = pathlib.Path(lpips.__file__).parent
shutil.copy(package / "weights/v0.1/alex.pth", folder / "alex.pth")
heads = torch.load(folder / "alex.pth", "cpu", weights_only=True)
random = {name: torch.rand_like(weights) for name, weights in heads.items()}
torch.save(random, folder / "random.pth")

rng = np.random.default_rng(0)
found = {}
for height, width in ((64, 64), (31, 40), (200, 130), (224, 224)):
    images = rng.uniform(-1, 1, (4, 3, height, width)).astype(np.float32)
    noise = np.array([0.02, 0.1, 0.5, 1.0], np.float32)[:, None, None, None]
    changed = images + noise * rng.uniform(-1, 1, images.shape).astype(np.float32)
    changed = changed.clip(-1, 1)
    size = f"{height}x{width}"
    found[f"images {size}"] = images.transpose(0, 2, 3, 1)
    found[f"changed {size}"] = changed.transpose(0, 2, 3, 1)
    for name in ("alex", "random"):
        model = lpips.LPIPS(
            net="alex",
            pnet_rand=True,
            model_path=str(folder / f"{name}.pth"),
            verbose=False,
        )
        # Its slices have the layers of torchvision's `features` under their own names.
        slices = torch.nn.ModuleList(
            [getattr(model.net, f"slice{number}") for number in range(1, 6)]
        )
        for part in slices:
            for place, layer in part.named_children():
                layer.load_state_dict(net.features[int(place)].state_dict())
        with torch.no_grad():
            distances = model(torch.from_numpy(images), torch.from_numpy(changed))
        found[f"{name} {size}"] = distances.numpy().reshape(-1)
np.savez(folder / "distances.npz", **found)
