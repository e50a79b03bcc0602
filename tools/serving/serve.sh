#!/usr/bin/env bash
# Serves an export until interrupted:
#     tools/serving/serve.sh FOLDER [SERVER FLAGS]
# FOLDER contains the model versions, as alexnet_tf.export writes them. The newest is
# served under the name alexnet. Environment variables: PORT is the gRPC port (8500),
# REST_PORT the REST port (8501), WAIT_S how long to wait for the model (120 s),
# TF_MODEL_SERVER the server to run, and IMAGE the image to run with Docker.
# Docker's ports are bound to this machine only. The server itself listens on every
# address and has no flag to change that; see "Security" in docs/serving.md.
set -euo pipefail
PORT="${PORT:-8500}" REST_PORT="${REST_PORT:-8501}" WAIT_S="${WAIT_S:-120}"
IMAGE="${IMAGE:-tensorflow/serving:2.21.0}"

fail() { echo "serve.sh: $*" >&2; exit 1; }

[[ $# -ge 1 ]] ||
  fail "no export was given. Usage: tools/serving/serve.sh FOLDER [SERVER FLAGS]"
[[ -d "$1" ]] || fail "$1 is not a folder: make it with python -m alexnet_tf.export"
compgen -G "$1/[0-9]*/saved_model.pb" >/dev/null ||
  fail "$1 contains no model versions (NUMBER/saved_model.pb):" \
    "make one with python -m alexnet_tf.export"
folder="$(cd "$1" && pwd)"
shift
command -v curl >/dev/null ||
  fail "curl was not found; it is needed to see when the model answers"

server="${TF_MODEL_SERVER:-$(command -v tensorflow_model_server || true)}"
if [[ -n "$server" ]]; then
  "$server" --port="$PORT" --rest_api_port="$REST_PORT" --model_name=alexnet \
    --model_base_path="$folder" "$@" &
elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  docker run --rm --init --name "alexnet-serving-$$" \
    --publish "127.0.0.1:$PORT:8500" --publish "127.0.0.1:$REST_PORT:8501" \
    --volume "$folder:/models/alexnet:ro" --env MODEL_NAME=alexnet "$IMAGE" "$@" &
else
  fail "neither tensorflow_model_server nor a running docker was found: install one" \
    "as https://www.tensorflow.org/tfx/serving/setup explains, or set" \
    "TF_MODEL_SERVER=PATH"
fi
child=$!

# Runs only once, and waits until the server has ended.
stop() {
  trap - EXIT INT TERM
  kill -TERM "$child" 2>/dev/null || true
  wait "$child" 2>/dev/null || true
}
trap stop EXIT
trap 'stop; exit 0' INT TERM

status="http://127.0.0.1:$REST_PORT/v1/models/alexnet"
until curl --silent --fail --max-time 5 "$status" 2>/dev/null | grep -q AVAILABLE; do
  kill -0 "$child" 2>/dev/null || fail "the server ended before the model was loaded"
  ((SECONDS < WAIT_S)) || fail "the model did not answer within $WAIT_S s: $status"
  sleep 0.2
done
echo "serving $folder: gRPC on port $PORT, REST at $status"
wait "$child"
