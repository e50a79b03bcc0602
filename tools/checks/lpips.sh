#!/usr/bin/env bash
# Compares alexnet_tf.metrics.LPIPS with the lpips package: torchvision's AlexNet with
# random weights is imported by the command, and both compute the distances of the same
# images with the package's own heads and with random ones.
#
#   tools/checks/lpips.sh
#
# torch, torchvision and lpips are installed into an environment of their own, which
# needs 6 GB; TORCH_VENV names one that is kept. PYTHON names the Python of this package.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-$(test -x .venv/bin/python && echo .venv/bin/python || echo python3)}"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
VENV="${TORCH_VENV:-$WORK/venv}"
if [ ! -x "$VENV/bin/python" ]; then
  "$PYTHON" -m venv "$VENV"
fi
"$VENV/bin/python" -c 'import lpips' 2>/dev/null ||
  "$VENV/bin/pip" install --quiet torch torchvision lpips

"$VENV/bin/python" -W ignore tools/checks/lpips_reference.py "$WORK"
"$PYTHON" -m alexnet_tf.import_weights --from="$WORK/torchvision.pth" \
  --output="$WORK/run" >"$WORK/import.log" 2>&1 || {
  cat "$WORK/import.log"
  exit 1
}
"$PYTHON" - "$WORK" <<'PYTHON'
import pathlib
import sys

import numpy as np

import alexnet_tf

work = pathlib.Path(sys.argv[1])
found = np.load(work / "distances.npz")
for heads in ("alex", "random"):
    metric = alexnet_tf.metrics.LPIPS(work / "run", work / f"{heads}.pth")
    for name in found.files:
        if not name.startswith(f"{heads} "):
            continue
        size = name.split()[1]
        ours = metric.distances(found[f"images {size}"], found[f"changed {size}"])
        theirs = found[name]
        relative = np.abs(ours - theirs).max() / theirs.max()
        print(f"{name:16} distances up to {theirs.max():.3f}, {relative:.1e} apart")
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
PYTHON
