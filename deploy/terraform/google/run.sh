#!/bin/sh
# Mounts the store's disk, fetches afdp.yml from Secret Manager into memory, and runs the exporter.
# Ends with an error where one of these is not there yet: systemd tries again.
set -eu
metadata=http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token
config=$RUNTIME_DIRECTORY/config

# Only a disk without any signature is formatted: blkid answers 2 for "nothing found".
test -e "$AFDP_DEVICE"
found=0
blkid -p "$AFDP_DEVICE" >/dev/null || found=$?
if [ "$found" -eq 2 ]; then mkfs.ext4 -q -m 0 "$AFDP_DEVICE"; fi
mkdir -p "$AFDP_STORE"
mountpoint -q "$AFDP_STORE" || mount -o nodev,nosuid,noexec "$AFDP_DEVICE" "$AFDP_STORE"
chown 10333:10333 "$AFDP_STORE"

umask 077
mkdir -p "$config"
token=$(curl -fsS --retry 5 -H 'Metadata-Flavor: Google' "$metadata" | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')
printf 'header = "Authorization: Bearer %s"\n' "$token" |
    curl -fsS --retry 5 --config - "$AFDP_CONFIG_URL" |
    sed -n 's/.*"data": *"\([^"]*\)".*/\1/p' | base64 -d >"$config/afdp.yml"
test -s "$config/afdp.yml"
chown -R 10333:10333 "$config"

# The home of root cannot be written here; Docker and its login look where HOME says.
export HOME="$RUNTIME_DIRECTORY/login"
mkdir -p "$HOME"
docker-credential-gcr configure-docker --registries="${AFDP_IMAGE%%/*}"
docker rm -f afdp-exporter >/dev/null 2>&1 || true
exec docker run --rm --name afdp-exporter --pull always --publish 10333:10333 --log-driver none \
    --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 20 \
    --volume "$AFDP_STORE:/data" --volume "$config:/etc/afdp:ro" "$AFDP_IMAGE"
