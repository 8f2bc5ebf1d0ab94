// A step of a shared library: vars/afdpGate.groovy. It waits until the deployment may go on, and else fails the build.
//
//   afdpGate(service: 'checkout', environment: 'production', version: env.TAG_NAME)
//
// AFDP_URL is a variable of the controller or the folder; the credential `afdp-gate` is a secret text, a token of the
// scope gate.
def call(Map asked) {
    withCredentials([string(credentialsId: 'afdp-gate', variable: 'AFDP_TOKEN')]) {
        withEnv([
            "AFDP_SERVICE=${asked.service}",
            "AFDP_VERSION=${asked.version ?: ''}",
            "AFDP_ENVIRONMENT=${asked.environment ?: 'production'}",
            "AFDP_PHASE=${asked.phase ?: ''}",
            "AFDP_GATE_SECONDS=${asked.seconds ?: 600}",
        ]) {
            sh '''
                set +x
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
                    told=$(printf 'header = "Authorization: Bearer %s"\\n' "${AFDP_TOKEN:-}" |
                        curl --config - --silent --show-error --fail --max-time 30 --get "$@" \\
                            --data "wait=$left" --data 'format=text' "${AFDP_URL%/}/api/v1/gate")
                    status=$?
                    [ "$status" -eq 22 ] && away 'the gate refused the question'
                    [ "$status" -eq 0 ] && printf 'afdp: %s\\n' "$told"
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
            '''
        }
    }
}
