#!/usr/bin/env bash
# Copyright 2026 The alexnet_tf authors. Apache-2.0.
#
# Runs everything that needs a GPU, in at most eight minutes, and prints one table last.
# If a part fails or takes too long, the others still run. The exit status is 0 if no
# part failed, 1 if one did, and 2 if there is no GPU.
#
#   tools/checks/gpu.sh            needs nvcc 13, and TensorFlow for the Python parts
#   tools/checks/gpu.sh --dry-run  runs the Python parts on the CPU, with a small net
#
# PYTHON names the Python to use, GPU_CHECK_LOGS a folder for the output of each part.
set -uo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-$(test -x .venv/bin/python && echo .venv/bin/python || echo python3)}"
LOGS="${GPU_CHECK_LOGS:-$(mktemp -d)}"
mkdir -p "$LOGS"
case "${1-}" in
  "") kind=GPU net=paper batch=128 steps=20 ;;
  --dry-run) kind=CPU net=cifar10_11pct batch=8 steps=2 ;;
  *)
    echo "unknown argument $1: expected nothing, or --dry-run" >&2
    exit 2
    ;;
esac
if [ "$kind" = GPU ] && ! nvidia-smi -L >"$LOGS/gpus" 2>&1; then
  echo "no GPU here (nvidia-smi -L fails): run this on a machine that has one, or" \
    "type tools/checks/gpu.sh --dry-run" >&2
  exit 2
fi
export TF_CPP_MIN_LOG_LEVEL=2 TF_FORCE_GPU_ALLOW_GROWTH=true

failed=0
table=()
row() { table+=("$(printf '%-24s %-8s %s' "$1" "$2" "$3")"); }

# part NAME SECONDS COMMAND... runs a command, and puts its results into the table.
results='^(result: |GB/s|float|bfloat)'
part() {
  local name="$1" seconds="$2" log status begin="$SECONDS"
  shift 2
  log="$LOGS/${name// /_}.log"
  echo "== $name"
  timeout --kill-after=5 "$seconds" "$@" >"$log" 2>&1
  status=$?
  grep -vE "$results" "$log" | tail -n 60
  case $status in
    0) row "$name" ok "$((SECONDS - begin)) s" ;;
    124 | 137) row "$name" FAILED "took longer than $seconds s" ;;
    *) row "$name" FAILED "status $status, $log" ;;
  esac
  [ "$status" = 0 ] || failed=1
  while IFS= read -r line; do
    row "" "" "${line#result: }"
  done < <(grep -E "$results" "$log")
}

if [ "$kind" = GPU ]; then
  lrn=custom_ops/lrn
  part "lrn_bench, built" 60 nvcc -std=c++17 -O3 -arch=native -I. "$lrn/lrn_bench.cu" \
    "$lrn/lrn_cuda.cu" "$lrn/lrn_reference.cc" -ldl -o "$LOGS/lrn_bench"
  part "lrn_bench" 60 "$LOGS/lrn_bench"
  if "$PYTHON" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' \
    >/dev/null 2>&1; then
    part "PyTorch's LRN" 40 "$PYTHON" tools/benchmarks/lrn_torch.py
  else
    row "PyTorch's LRN" left "$PYTHON has no PyTorch that sees the GPU"
  fi
fi

if [ "$kind" = GPU ] && ! timeout 30 "$PYTHON" -c \
  'import sys, tensorflow as tf; sys.exit(not tf.config.list_physical_devices("GPU"))' \
  >"$LOGS/tensorflow.log" 2>&1; then
  row "TensorFlow" left "$PYTHON has no TensorFlow that sees the GPU: $LOGS/tensorflow.log"
else
  # The tests to run on a GPU carry the marker `gpu`.
  tests=("$PYTHON" -m pytest -q -p no:cacheprovider -m "gpu and not long")
  part "the op's tests" 70 env "ALEXNET_TF_TEST_DEVICE=/$kind:0" \
    "${tests[@]}" tests/ops/test_lrn.py
  part "two towers" 70 env "ALEXNET_TF_TEST_TOWERS=$kind" \
    "${tests[@]}" tests/models/test_towers.py
  for precision in float32 tf32 bfloat16; do
    part "training, $precision" 48 "$PYTHON" tools/benchmarks/device_training.py \
      "--device=/$kind:0" "--precision=$precision" \
      "--net=$net" "--batch=$batch" "--steps=$steps"
  done
fi

echo
test -s "$LOGS/gpus" && cat "$LOGS/gpus"
printf '%s\n' "${table[@]}"
exit "$failed"
