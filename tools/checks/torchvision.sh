#!/usr/bin/env bash
# Proves the import of torch's files with torch itself: torchvision's AlexNet with random
# weights, saved by torch.save in both of its formats, is imported by the command, and
# the logits of both are compared.
#
#   tools/checks/torchvision.sh
#
# torch and torchvision are installed into an environment of their own, which needs 6 GB;
# TORCH_VENV names one that is kept. PYTHON names the Python of this package.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-$(test -x .venv/bin/python && echo .venv/bin/python || echo python3)}"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
VENV="${TORCH_VENV:-$WORK/venv}"
if [ ! -x "$VENV/bin/python" ]; then
  "$PYTHON" -m venv "$VENV"
fi
"$VENV/bin/python" -c 'import torchvision' 2>/dev/null ||
  "$VENV/bin/pip" install --quiet torch torchvision

"$VENV/bin/python" tools/checks/torchvision_reference.py "$WORK"
for file in archive sequence checkpoint; do
  "$PYTHON" -m alexnet_tf.import_weights --from="$WORK/$file.pth" \
    --output="$WORK/$file" >"$WORK/$file.log" 2>&1 || {
    cat "$WORK/$file.log"
    exit 1
  }
done
"$PYTHON" - "$WORK" <<'PYTHON'
import pathlib
import sys

import numpy as np
import tensorflow as tf

from alexnet_tf.models import layers, trained

work = pathlib.Path(sys.argv[1])
images, theirs = np.load(work / "images.npy"), np.load(work / "logits.npy")
for name in ("archive", "sequence", "checkpoint"):
    model = trained.restore(work / name).model
    ours = model(layers.plain_inputs(tf.constant(images))).numpy()
    difference = np.abs(ours - theirs).max() / theirs.std()
    print(f"{name:12}{difference:.1e} of the logits' standard deviation")
    assert difference < 1e-5, "the logits differ"
PYTHON
