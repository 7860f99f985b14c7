{{- /* The sidecar's container, the same in every shape; other charts may include it in pods of their own. */ -}}
{{- define "sidecar.container" -}}
name: sidecar
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, -c, /etc/token-exchange-sidecar/config/routes.yaml]
ports:
  {{- if ne .Values.shape "egress" }}
  - {name: http, containerPort: 8080}
  {{- end }}
  - {name: admin, containerPort: 9090}
startupProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 1
  failureThreshold: 30
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
resources: {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
# Whole folders, never subPath: only these are renewed in a running pod.
volumeMounts:
  - {name: sidecar-config, mountPath: /etc/token-exchange-sidecar/config, readOnly: true}
  {{- if .Values.identity.audience }}
  - {name: sidecar-identity, mountPath: /var/run/secrets/token-exchange-sidecar, readOnly: true}
  {{- end }}
  {{- if .Values.secretName }}
  - {name: sidecar-secrets, mountPath: /etc/token-exchange-sidecar/secrets, readOnly: true}
  {{- end }}
  {{- range $team, $_ := .Values.teams }}
  - {name: team-{{ $team }}, mountPath: /etc/token-exchange-sidecar/teams/{{ $team }}, readOnly: true}
  {{- end }}
{{- end }}

{{- define "sidecar.volumes" -}}
- name: sidecar-config
  configMap: {name: {{ include "sidecar.name" . }}-sidecar-config}
{{- if .Values.identity.audience }}
- name: sidecar-identity
  projected:
    sources:
      - serviceAccountToken:
          path: client-assertion
          audience: {{ .Values.identity.audience | quote }}
          expirationSeconds: {{ .Values.identity.expirationSeconds }}
{{- end }}
{{- if .Values.secretName }}
- name: sidecar-secrets
  secret: {secretName: {{ .Values.secretName }}, defaultMode: 0444}
{{- end }}
{{- $name := include "sidecar.name" . }}
{{- range $team, $_ := .Values.teams }}
- name: team-{{ $team }}
  configMap: {name: {{ $name }}-sidecar-team-{{ $team }}, optional: true}
{{- end }}
{{- end }}
