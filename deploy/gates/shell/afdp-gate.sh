#!/bin/sh
# Waits until a deployment may go on: AFDP_URL, AFDP_TOKEN (scope gate) and AFDP_SERVICE are needed, AFDP_VERSION,
# AFDP_ENVIRONMENT, AFDP_PHASE and AFDP_GATE_SECONDS (600) may be set. Ends with 0 for allow and warn, 4 for rollback;
# after that time with 3 for hold and 5 for unknown; with 1 where it is not answered. AFDP_ON_ERROR=allow makes that 0.
set -u
away() {
    echo "afdp: $1" >&2
    [ "${AFDP_ON_ERROR:-fail}" = allow ] && exit 0
    exit 1
}
[ -n "${AFDP_URL:-}" ] || away 'AFDP_URL is not set'
[ -n "${AFDP_SERVICE:-}" ] || away 'AFDP_SERVICE is not set'
set -- --data-urlencode "service=$AFDP_SERVICE" --data-urlencode "environment=${AFDP_ENVIRONMENT:-production}"
[ -z "${AFDP_VERSION:-}" ] || set -- "$@" --data-urlencode "version=$AFDP_VERSION"
[ -z "${AFDP_PHASE:-}" ] || set -- "$@" --data-urlencode "phase=$AFDP_PHASE"
end=$(($(date +%s) + ${AFDP_GATE_SECONDS:-600}))
while :; do
    left=$((end - $(date +%s)))
    [ "$left" -gt 20 ] && left=20
    [ "$left" -lt 0 ] && left=0
    told=$(printf 'header = "Authorization: Bearer %s"\n' "${AFDP_TOKEN:-}" |
        curl --config - --silent --show-error --fail --max-time 30 --get "$@" \
            --data "wait=$left" --data 'format=text' "${AFDP_URL%/}/api/v1/gate")
    status=$?
    [ "$status" -eq 22 ] && away 'the gate refused the question'
    [ "$status" -eq 0 ] && printf 'afdp: %s\n' "$told"
    case $told in
        allow* | warn*) exit 0 ;;
        rollback*) exit 4 ;;
    esac
    [ "$(date +%s)" -lt "$end" ] || break
    [ "$status" -eq 0 ] || sleep 2
done
case $told in
    hold*) exit 3 ;;
    unknown*) exit 5 ;;
esac
away 'no answer'
