#!/bin/sh
# Mounts the store's disk, fetches afdp.yml from the Key Vault into memory, and runs the exporter.
# Ends with an error where one of these is not there yet: systemd tries again.
set -eu
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
field() { python3 -c 'import json, sys; sys.stdout.write(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
# token RESOURCE: of the machine's identity; the address is Azure's own, the same on every machine
token() {
    curl -fsS --retry 5 --get -H 'Metadata: true' --data-urlencode "client_id=$AFDP_IDENTITY" \
        --data-urlencode "resource=$1" --data api-version=2018-02-01 \
        http://169.254.169.254/metadata/identity/oauth2/token | field access_token
}

vault=$(token https://vault.azure.net)
printf 'header = "Authorization: Bearer %s"\n' "$vault" |
    curl -fsS --retry 5 --config - "$AFDP_CONFIG_URL" | field value >"$config/afdp.yml"
test -s "$config/afdp.yml"
chown -R 10333:10333 "$config"

export DOCKER_CONFIG="$RUNTIME_DIRECTORY/login"
if [ "$AFDP_LOGIN_FIRST" = true ]; then
    registry=${AFDP_IMAGE%%/*}
    azure=$(token https://management.azure.com/)
    printf %s "$azure" |
        curl -fsS --retry 5 --data grant_type=access_token --data "service=$registry" \
            --data-urlencode access_token@- "https://$registry/oauth2/exchange" | field refresh_token |
        docker login "$registry" --username 00000000-0000-0000-0000-000000000000 --password-stdin >/dev/null
fi
docker rm -f afdp-exporter >/dev/null 2>&1 || true
exec docker run --rm --name afdp-exporter --pull always --publish 10333:10333 --log-driver none \
    --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 20 \
    --volume "$AFDP_STORE:/data" --volume "$config:/etc/afdp:ro" "$AFDP_IMAGE"
