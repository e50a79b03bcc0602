#!/usr/bin/env bash
# Copyright 2026 The alexnet_tf authors. Apache-2.0.
#
# Runs everything that needs a GPU, in at most eight minutes and in the order of its
# worth, and prints one table last. Each part has its own time limit, and if one fails or
# takes too long, the others still run. The exit status is 0 if everything ran, 1 if
# something that should have run did not, and 2 if there is no GPU.
#
#   tools/checks/gpu.sh            needs nvcc, TensorFlow, pytest and hypothesis
#   tools/checks/gpu.sh --dry-run  runs the Python parts on the CPU, with a small net
#
# The package need not be installed, but its op library must be built (`make setup`, or
# python setup.py build_ext --inplace). Environment variables:
#
#   PYTHON             the Python to use
#   TORCH_PYTHON       one that has PyTorch, by default the same. If it is set, PyTorch
#                      is demanded; otherwise its parts are left out if it is not there
#   GPU_CHECK_LOGS     a folder for the output of each part
#   GPU_CHECK_SECONDS  the time for everything, by default 480, and an hour for --dry-run
set -uo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-$(test -x .venv/bin/python && echo .venv/bin/python || echo python3)}"
LOGS="${GPU_CHECK_LOGS:-$(mktemp -d)}"
mkdir -p "$LOGS"
case "${1-}" in
  "") kind=GPU total="${GPU_CHECK_SECONDS:-480}" ;;
  --dry-run) kind=CPU total="${GPU_CHECK_SECONDS:-3600}" ;;
  *)
    echo "unknown argument $1: expected nothing, or --dry-run" >&2
    exit 2
    ;;
esac
if [ "$kind" = GPU ]; then
  if ! nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader \
    >"$LOGS/gpus" 2>&1; then
    echo "no GPU here (nvidia-smi fails): run this on a machine that has one, or" \
      "type tools/checks/gpu.sh --dry-run" >&2
    exit 2
  fi
else
  echo "no GPU: a dry run on the CPU" >"$LOGS/gpus"
fi
export TF_CPP_MIN_LOG_LEVEL=2 TF_FORCE_GPU_ALLOW_GROWTH=true
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

failed=0
table=()
row() { table+=("$(printf '%-28s %-9s %s' "$1" "$2" "$3")"); }
fail() {
  failed=1
  row "$1" FAILED "$2"
}

# part NAME SECONDS COMMAND... runs a command, and puts its results into the table. Its
# status is that of the command.
results='^(result: |GB/s|float|bfloat|cuDNN)'
part() {
  local name="$1" limit="$2" left=$((total - SECONDS)) log status begin="$SECONDS"
  shift 2
  log="$LOGS/${name// /_}.log"
  # A dry run has a net of another size, and often a busy machine.
  if [ "$kind" = CPU ] || [ "$left" -lt "$limit" ]; then limit="$left"; fi
  if [ "$limit" -le 0 ]; then
    fail "$name" "no time was left of $total s"
    return 1
  fi
  echo "== $name"
  timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1
  status=$?
  grep -vE "$results" "$log" | tail -n 60
  case $status in
    0) row "$name" ok "$((SECONDS - begin)) s" ;;
    124 | 137) fail "$name" "took longer than $limit s, $log" ;;
    *) fail "$name" "status $status, $log: $(tail -n 1 "$log" | cut -c 1-200)" ;;
  esac
  while IFS= read -r line; do
    row "" "" "${line#result: }"
  done < <(grep -E "$results" "$log")
  return "$status"
}

# The same for a part that needs TensorFlow or PyTorch.
tensorflow() {
  if [ -n "$has_tensorflow" ]; then part "$@"; else fail "$1" "needs TensorFlow"; fi
}
pytorch() {
  if [ -n "$has_pytorch" ]; then
    part "$@"
  elif [ -n "${TORCH_PYTHON-}" ]; then
    fail "$1" "$TORCH_PYTHON has no PyTorch for a $kind"
  else
    row "$1" "not there" "$PYTHON has no PyTorch for a $kind"
  fi
}

torch_python="${TORCH_PYTHON:-$PYTHON}"
has_pytorch=$(timeout 60 "$torch_python" -c "import torch
print('yes' if '$kind' == 'CPU' or torch.cuda.is_available() else '')" 2>/dev/null)

device="/$kind:0" bench=tools/benchmarks
if [ "$kind" = GPU ]; then
  net=paper batches=128,256,512,1024 few_batches=128,1024 steps=20 profiled=1024
  source=garments size=256 run=(--net=cuda_convnet --steps=100 --cpu_steps=20)
  op_tests=() tower_tests=()
  precisions=bfloat16,tf32,float32
else
  net=cifar10_11pct batches=4 few_batches=4 steps=1 profiled=4
  source="folder:$LOGS/images" size=32
  run=(--net=cifar10_11pct --steps=8 --cpu_steps=3 --batch=4)
  # `make test` runs all of them on the CPU.
  op_tests=(-k by_hand) tower_tests=(-k velocities)
  precisions=bfloat16,tf32
  for picture in tools/pictures/*.png; do
    for copy in train/{one,two}/{1,2}; do
      mkdir -p "$LOGS/images/${copy%/*}"
      cp "$picture" "$LOGS/images/$copy-${picture##*/}"
    done
  done
fi

# 1. The kernels of LRN.
if [ "$kind" = GPU ]; then
  lrn=custom_ops/lrn
  nvcc=$(command -v nvcc || echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
  part "lrn_bench, built" 45 "$nvcc" -std=c++17 -O3 -arch=native -I. \
    "$lrn/lrn_bench.cu" "$lrn/lrn_cuda.cu" "$lrn/lrn_reference.cc" -ldl \
    -o "$LOGS/lrn_bench" &&
    part "lrn_bench" 60 "$LOGS/lrn_bench"
fi
pytorch "PyTorch's LRN" 30 "$torch_python" "$bench/lrn_torch.py" \
  "--device=$device" "--batches=$([ "$kind" = GPU ] && echo 1,128,1024 || echo 1)" \
  "--steps=$steps" --seconds=20

# The first import of TensorFlow reads a gigabyte.
has_tensorflow=yes
part "TensorFlow" 90 "$PYTHON" -c "
import sys
import tensorflow as tf
import alexnet_tf
from alexnet_tf.ops import library
print('the package is', alexnet_tf.__file__)
found = len(tf.config.list_physical_devices('$kind'))
built = library.error or f'CUDA {library.cuda_version()}'
print(f'result: TensorFlow {tf.__version__}, ${kind}s: {found}, op library: {built}')
sys.exit(None if found else 'TensorFlow finds no $kind')" || has_tensorflow=

# 2. and 3. The tests that carry the marker `gpu`.
tests=("$PYTHON" -m pytest -q -p no:cacheprovider -m "gpu and not long")
tensorflow "the op's tests" 70 env "ALEXNET_TF_TEST_DEVICE=$device" \
  "${tests[@]}" tests/ops/test_lrn.py "${op_tests[@]}"
tensorflow "two towers" 70 env "ALEXNET_TF_TEST_TOWERS=$kind" \
  "${tests[@]}" tests/models/test_towers.py "${tower_tests[@]}"

# 4. Training and inference.
tensorflow "images, prepared" 60 "$PYTHON" -m alexnet_tf.prepare "--source=$source" \
  "--data_dir=$LOGS/data" "--output=$LOGS/prepared" "--size=$size"
training=("$PYTHON" "$bench/device_training.py" "--device=$device" "--net=$net"
  "--steps=$steps")
tensorflow "training" 120 "${training[@]}" --lrn=op "--batches=$batches" \
  "--precisions=$precisions" "--data=$LOGS/prepared" --seconds=100
pytorch "PyTorch's training" 75 "$torch_python" "$bench/device_training_torch.py" \
  "--device=$device" "--batches=$few_batches" "--precisions=$precisions" \
  "--steps=$steps" --seconds=60

# 5. The recipe of `make demo`.
tensorflow "demo's recipe" 100 "$PYTHON" tools/checks/gpu_run.py "--device=$device" \
  "--dataset=$LOGS/prepared" "--folder=$LOGS/runs" "${run[@]}"

# 6. What the next change should be about.
tensorflow "kernels by share" 45 "$PYTHON" "$bench/kernel_profile.py" \
  "--device=$device" "--net=$net" "--batch=$profiled"

# 7. What the LRN and determinism cost.
training+=("--batches=$few_batches" --inference_batches=)
tensorflow "training, stock LRN" 75 "${training[@]}" --lrn=stock \
  "--precisions=$precisions" --seconds=60
tensorflow "training, nondeterministic" 50 "${training[@]}" --lrn=op --nondeterministic \
  "--precisions=${precisions%,float32}" --seconds=40

echo
date -u +%Y-%m-%d
cat "$LOGS/gpus"
printf '%s\n' "${table[@]}"
exit "$failed"
