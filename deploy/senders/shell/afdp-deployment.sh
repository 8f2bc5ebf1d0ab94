#!/bin/sh
# Tell afdp-exporter of a deployment, from any deploy script. Needs curl, and never fails the deploy.
#
#   AFDP_URL=http://afdp-exporter:10333 AFDP_TOKEN=... AFDP_SERVICE=checkout AFDP_ID=pipeline-42 \
#       AFDP_STATUS=started ./afdp-deployment.sh
#   ... deploy ...
#   AFDP_STATUS=succeeded ./afdp-deployment.sh      # the same AFDP_ID: the same deployment
#
# Also: AFDP_ENVIRONMENT AFDP_VERSION AFDP_PREVIOUS_VERSION AFDP_COMMIT AFDP_ACTOR AFDP_TEAM AFDP_LINK
# AFDP_STARTED_AT AFDP_FINISHED_AT AFDP_STRATEGY AFDP_DESCRIPTION, AFDP_CHANGE_TYPES as code,database, and AFDP_TRAITS
# as a JSON object: '{"table_rows": 1200000}'. AFDP_FAIL=1 makes a deployment that could not be told an error.
set -u

quote() {
    printf '"%s"' "$(printf '%s' "$1" | tr '\n\r\t' '   ' | sed 's/[\\"]/\\&/g')"
}

members=''
add() {
    [ -z "$2" ] || members="$members,\"$1\":$(quote "$2")"
}

call() { # METHOD PATH BODY -> the answer, and its status in the last line; the token is in no list of processes
    printf 'header = "Authorization: Bearer %s"\n' "${AFDP_TOKEN:-}" |
        curl --config - --silent --show-error --retry 3 --max-time 10 --request "$1" --header 'Content-Type: application/json' \
            --data-binary "$3" --write-out '\n%{http_code}' "${AFDP_URL%/}$2"
}

end() { # MESSAGE
    echo "afdp: $1" >&2
    exit "${AFDP_FAIL:-0}"
}

[ -n "${AFDP_URL:-}" ] || end 'not told: AFDP_URL is not set'
[ -n "${AFDP_SERVICE:-}" ] || end 'not told: AFDP_SERVICE is not set'

add environment "${AFDP_ENVIRONMENT:-}"
add id "${AFDP_ID:-}"
identity="\"service\":$(quote "$AFDP_SERVICE")$members"
members=''
add status "${AFDP_STATUS:-}"
add version "${AFDP_VERSION:-}"
add previous_version "${AFDP_PREVIOUS_VERSION:-}"
add commit "${AFDP_COMMIT:-}"
add actor "${AFDP_ACTOR:-}"
add team "${AFDP_TEAM:-}"
add url "${AFDP_LINK:-}"
add started_at "${AFDP_STARTED_AT:-}"
add finished_at "${AFDP_FINISHED_AT:-}"
add strategy "${AFDP_STRATEGY:-}"
add description "${AFDP_DESCRIPTION:-}"
if [ -n "${AFDP_CHANGE_TYPES:-}" ]; then
    members="$members,\"change_types\":[$(quote "$AFDP_CHANGE_TYPES" | sed 's/, */","/g')]"
fi
[ -z "${AFDP_TRAITS:-}" ] || members="$members,\"traits\":$AFDP_TRAITS"

answer=$(call POST /api/v1/deployments "{$identity$members}") || end 'not told: no answer'
status=${answer##*
}
if [ "$status" = 200 ] && [ -n "$members" ]; then # known already: this tells how it went on
    answer=$(call PATCH "/api/v1/deployments/${AFDP_ID:-}" "{${members#,}}") || end 'not told: no answer'
    status=${answer##*
}
fi
case $status in
    200 | 201) echo "afdp: told of ${AFDP_SERVICE} ${AFDP_VERSION:-}" ;;
    *) end "refused with $status: ${answer%
*}" ;;
esac
