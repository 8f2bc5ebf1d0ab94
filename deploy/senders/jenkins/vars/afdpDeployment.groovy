// A step of a shared library: vars/afdpDeployment.groovy. It never fails the build.
//
//   afdpDeployment(service: 'checkout', environment: 'production', version: env.TAG_NAME) {
//       sh './deploy.sh'
//   }
//
// AFDP_URL is a variable of the controller or the folder; the credential `afdp-token` is a secret text.
def call(Map told, Closure deploy) {
    String id = "jenkins-${env.BUILD_TAG}-${told.service}".replaceAll('[^A-Za-z0-9._:-]', '-').take(128)
    Map begun = [id: id, status: 'started', commit: env.GIT_COMMIT, url: env.BUILD_URL] + told
    tell('POST', '/api/v1/deployments', begun.findAll { it.value != null })
    String status = 'failed'
    try {
        deploy()
        status = 'succeeded'
    } finally {
        tell('PATCH', "/api/v1/deployments/${id}", [status: status])
    }
}

private void tell(String method, String path, Map body) {
    withCredentials([string(credentialsId: 'afdp-token', variable: 'AFDP_TOKEN')]) {
        withEnv(["AFDP_METHOD=${method}", "AFDP_PATH=${path}", "AFDP_BODY=${groovy.json.JsonOutput.toJson(body)}"]) {
            sh '''
                set +x
                printf 'header = "Authorization: Bearer %s"\\n' "$AFDP_TOKEN" |
                    curl --config - --silent --show-error --fail --output /dev/null --retry 3 --max-time 10 \\
                        --request "$AFDP_METHOD" --header 'Content-Type: application/json' \\
                        --data-binary "$AFDP_BODY" "${AFDP_URL%/}$AFDP_PATH" || echo 'afdp: not told' >&2
            '''
        }
    }
}
