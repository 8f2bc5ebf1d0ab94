#!/bin/sh
# Asks AFDP in place of Datadog, by Datadog's own command line: a step of a pipeline before the one that deploys.
# AFDP_SITE is a name under which `api.$AFDP_SITE` leads to the exporter by HTTPS (a port may follow: afdp.example.org:10443);
# AFDP_TOKEN has the scope gate; AFDP_CA is the file of its certificate authority where it is your own.
# Ends with 0 where the deployment may go on, with 1 for rollback, for a hold that lasts, and where it cannot be asked.
set -eu
export DD_BETA_COMMANDS_ENABLED=1 DD_SITE="$AFDP_SITE" DD_API_KEY=afdp DD_APP_KEY="$AFDP_TOKEN"
[ -z "${AFDP_CA:-}" ] || export NODE_EXTRA_CA_CERTS="$AFDP_CA"
exec ${DATADOG_CI:-datadog-ci} deployment gate --fail-on-error --service "$AFDP_SERVICE" \
    --env "${AFDP_ENVIRONMENT:-production}" --version "$AFDP_VERSION" --timeout "${AFDP_GATE_SECONDS:-7200}"
