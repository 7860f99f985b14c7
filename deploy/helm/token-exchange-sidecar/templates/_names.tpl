{{- define "sidecar.name" -}}{{ .Values.name | default .Release.Name }}{{- end }}

{{- define "sidecar.labels" -}}
app.kubernetes.io/name: {{ include "sidecar.name" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "sidecar.selector" -}}
app.kubernetes.io/name: {{ include "sidecar.name" . }}
{{- end }}
