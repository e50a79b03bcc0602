#!/usr/bin/env bash
# Makes a self-signed certificate for gRPC with TLS:
#     tools/serving/make_tls.sh HOST FOLDER
# It writes FOLDER/ca.pem for clients (--ca_file) and FOLDER/ssl.config for the server
# (--ssl_config_file), which contains the private key. A certificate from a certificate
# authority can be put into the same files.
set -euo pipefail
if [[ $# != 2 ]]; then
  echo "usage: $0 HOST FOLDER" >&2
  exit 2
fi
host="$1" folder="$2"
if [[ "$host" =~ ^[0-9.]+$ ]]; then kind=IP; else kind=DNS; fi
umask 077
mkdir -p "$folder"
key="$(mktemp)"
trap 'rm -f "$key"' EXIT
openssl req -x509 -newkey rsa:3072 -nodes -days 365 -subj "/CN=$host" \
  -addext "subjectAltName=$kind:$host" -keyout "$key" -out "$folder/ca.pem" 2>/dev/null
quoted() { sed 's/$/\\n/' "$1" | tr -d '\n'; }
cat >"$folder/ssl.config" <<END
server_key: "$(quoted "$key")"
server_cert: "$(quoted "$folder/ca.pem")"
client_verify: false
END
echo "wrote $folder/ca.pem and $folder/ssl.config"
