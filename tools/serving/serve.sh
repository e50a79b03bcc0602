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
has_version() {
  local version
  for version in "$1"/*/saved_model.pb; do
    version="${version%/saved_model.pb}"
    [[ "${version##*/}" =~ ^[0-9]+$ ]] && return
  done
  return 1
}
has_version "$1" ||
  fail "$1 contains no model versions (NUMBER/saved_model.pb):" \
    "make one with python -m alexnet_tf.export"
for name in PORT REST_PORT WAIT_S; do
  [[ "${!name}" =~ ^[1-9][0-9]{0,4}$ ]] ||
    fail "$name must be a whole number above 0, got ${!name}"
done
((PORT != REST_PORT)) || fail "PORT and REST_PORT must differ, both are $PORT"
folder="$(cd "$1" && pwd)"
shift
command -v curl >/dev/null ||
  fail "curl was not found; it is needed to see when the model answers"

# If another server had a port, its answer would pass for that of this one.
for name in PORT REST_PORT; do
  if (exec 3<>"/dev/tcp/127.0.0.1/${!name}") 2>/dev/null; then
    fail "port ${!name} is taken by another server: stop that one, or choose another" \
      "port: $name=$((${!name} + 100)) tools/serving/serve.sh $folder"
  fi
done

# Without retries: by default the server tries a version that does not load five times
# more, one minute apart, and loads no other version meanwhile. Files that do not load
# once do not load a minute later.
flags=(--max_num_load_retries=0 "$@")
server="${TF_MODEL_SERVER:-$(command -v tensorflow_model_server || true)}"
if [[ -n "$server" ]]; then
  "$server" --port="$PORT" --rest_api_port="$REST_PORT" --model_name=alexnet \
    --model_base_path="$folder" "${flags[@]}" &
elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  docker run --rm --init --name "alexnet-serving-$$" \
    --publish "127.0.0.1:$PORT:8500" --publish "127.0.0.1:$REST_PORT:8501" \
    --volume "$folder:/models/alexnet:ro" --env MODEL_NAME=alexnet "$IMAGE" \
    "${flags[@]}" &
else
  here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
  fail "neither tensorflow_model_server nor a running docker was found: install one" \
    "as https://www.tensorflow.org/tfx/serving/setup explains, or set" \
    "TF_MODEL_SERVER=PATH. To try a client without a server, in the environment of" \
    "make setup: TF_MODEL_SERVER=$here/tests/support/session_server.py"
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

# The process $1 and its descendants.
family() {
  local process
  echo "$1"
  for process in $(cat /proc/"$1"/task/*/children 2>/dev/null || true); do
    family "$process"
  done
}

# Whether the server that was started here is the one that listens on the port $1.
# Docker publishes a port itself, and ends if it is taken.
listens() {
  [[ -n "$server" ]] || return 0
  local port process descriptors address state inode
  printf -v port '%04X' "$1"
  for process in $(family "$child"); do
    descriptors="$(ls -l "/proc/$process/fd" 2>/dev/null || true)"
    while read -r _ address _ state _ _ _ _ _ inode _; do
      [[ "$state" == 0A && "${address##*:}" == "$port" &&
        "$descriptors" == *"socket:[$inode]"* ]] && return 0
    done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  done
  return 1
}

status="http://127.0.0.1:$REST_PORT/v1/models/alexnet"
until curl --silent --fail --noproxy '*' --max-time 5 "$status" 2>/dev/null |
  grep -q '"AVAILABLE"'; do
  kill -0 "$child" 2>/dev/null || fail "the server ended before the model was loaded"
  ((SECONDS < WAIT_S)) || fail "the model did not answer within $WAIT_S s: $status"
  sleep 0.2
done
kill -0 "$child" 2>/dev/null || fail "the server ended before the model was loaded"
for name in REST_PORT PORT; do
  listens "${!name}" ||
    fail "port ${!name} belongs to another server, not to the one that was started" \
      "here: stop that one, or choose another port:" \
      "$name=$((${!name} + 100)) tools/serving/serve.sh $folder"
done
echo "serving $folder: gRPC on port $PORT, REST at $status"
wait "$child"
