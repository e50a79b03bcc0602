#!/usr/bin/env bash
# Copyright 2026 The alexnet_tf authors. Apache-2.0.
#
# Everything that needs a GPU, in at most eight minutes, and one table last. A part
# that fails or takes too long does not keep the others from running; the status is 0
# where none failed, 1 where one did, 2 without a GPU.
#
#   tools/checks/gpu.sh            needs nvcc 13, and TensorFlow for what is Python
#   tools/checks/gpu.sh --dry-run  the Python parts on the processor, with a small net
#
# PYTHON names the Python, GPU_CHECK_LOGS a folder for each part's output.
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
  echo "no GPU here (nvidia-smi -L fails): run this where there is one, or" \
    "tools/checks/gpu.sh --dry-run" >&2
  exit 2
fi
export TF_CPP_MIN_LOG_LEVEL=2 TF_FORCE_GPU_ALLOW_GROWTH=true

failed=0
table=()
row() { table+=("$(printf '%-24s %-8s %s' "$1" "$2" "$3")"); }

# part NAME SECONDS COMMAND...: its results go into the table.
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
  row "TensorFlow" left "$PYTHON has none that sees the GPU: $LOGS/tensorflow.log"
else
  part "the op's tests" 70 env "ALEXNET_TF_TEST_DEVICE=/$kind:0" \
    "$PYTHON" -m pytest -q tests/ops/test_lrn.py -p no:cacheprovider \
    -k "reference or stock or hand or nan or empty or leaves_its_input"
  part "two towers" 70 env "ALEXNET_TF_TEST_TOWERS=$kind" \
    "$PYTHON" -m pytest -q tests/models/test_towers.py -p no:cacheprovider \
    -k "live_with or own_tower or cross_only or what_one_does"
  for precision in float32 tf32 bfloat16; do
    part "training, $precision" 48 "$PYTHON" tools/benchmarks/device_training.py "--device=/$kind:0" \
      "--precision=$precision" "--net=$net" "--batch=$batch" "--steps=$steps"
  done
fi

echo
test -s "$LOGS/gpus" && cat "$LOGS/gpus"
printf '%s\n' "${table[@]}"
exit "$failed"
