{{- define "afdp.fullname" -}}
{{- if contains "afdp" .Release.Name }}{{ printf "%.40s" .Release.Name | trimSuffix "-" }}{{ else }}{{ printf "%.30s-afdp" .Release.Name }}{{ end }}
{{- end }}

{{- define "afdp.selector" -}}
app.kubernetes.io/name: afdp-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "afdp.labels" -}}
{{ include "afdp.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: exporter
app.kubernetes.io/part-of: afdp
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "afdp.image" -}}
{{- $name := list .Values.image.registry .Values.image.repository | compact | join "/" -}}
{{- if .Values.image.digest }}{{ $name }}@{{ .Values.image.digest }}{{ else }}{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "afdp.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "afdp.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "afdp.url" -}}
{{- if .Values.externalUrl }}{{ .Values.externalUrl | trimSuffix "/" }}
{{- else if and .Values.ingress.enabled .Values.ingress.host }}{{ ternary "https" "http" (ne .Values.ingress.tlsSecret "") }}://{{ .Values.ingress.host }}
{{- else }}{{ ternary "https" "http" (ne .Values.webConfigFile "") }}://{{ include "afdp.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}
{{- end }}

{{- define "afdp.job" -}}
{{- if .Values.prometheusRule.job }}{{ .Values.prometheusRule.job }}
{{- else if .Values.serviceMonitor.jobLabel }}{{ get (include "afdp.labels" . | fromYaml) .Values.serviceMonitor.jobLabel | required "serviceMonitor.jobLabel: the Service has no such label" }}
{{- else }}{{ include "afdp.fullname" . }}
{{- end }}
{{- end }}

{{- define "afdp.env" -}}
{{- $own := list }}
{{- with .Values.storageUrl }}{{ $own = append $own (dict "name" "AFDP_STORAGE_URL" "value" .) }}{{ end }}
{{- with concat $own .Values.extraEnv }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "afdp.analyserSelector" -}}
app.kubernetes.io/name: afdp-analyser
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
