# Octopus Deploy: a step *Run a Script* (Bash) before the one that deploys. The variables Afdp.Url and Afdp.Token
# (sensitive) belong to the project or a library set. A failed step stops the deployment.
AFDP_URL=$(get_octopusvariable "Afdp.Url")
AFDP_TOKEN=$(get_octopusvariable "Afdp.Token")
AFDP_SERVICE=$(get_octopusvariable "Octopus.Project.Name")
AFDP_VERSION=$(get_octopusvariable "Octopus.Release.Number")
AFDP_ENVIRONMENT=$(get_octopusvariable "Octopus.Environment.Name")
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
