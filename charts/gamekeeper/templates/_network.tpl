{{/* Who may connect to a controller, and where it may connect to. */}}
{{- define "gamekeeper.networkPolicy" -}}
{{- $policy := .root.Values.networkPolicy }}
{{- if $policy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .namespace | default .root.Release.Namespace }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "gamekeeper.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- with $policy.metricsFrom }}
    - ports: [{port: admin}]
      from:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- range .ports }}
    - ports: [{port: {{ .name }}}]
      {{- with .from }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
  egress:
    {{- if .anyEgress }}
    # Probes go to any port of any game server.
    - {}
    {{- else }}
    - ports:
        {{- $ports := $policy.apiServer.ports }}
        {{- with .root.Values.apiServer.port }}
        {{- $ports = append $ports (int .) | uniq }}
        {{- end }}
        {{- range $ports }}
        - {port: {{ int . }}, protocol: TCP}
        {{- end }}
      {{- with $policy.apiServer.to }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- if include "gamekeeper.resolves" . }}
    # The API server's name.
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Whether the API server is named by a name that only a name server knows. */}}
{{- define "gamekeeper.resolves" -}}
{{- $host := .root.Values.apiServer.host }}
{{- if and $host (not (regexMatch "^[0-9.]+$|:" $host)) }}
{{- $known := list }}
{{- range .pod.hostAliases }}
{{- $known = concat $known .hostnames }}
{{- end }}
{{- if not (has $host $known) }}yes{{ end }}
{{- end }}
{{- end }}

{{- define "gamekeeper.podMonitor" -}}
{{- $monitor := .root.Values.metrics.podMonitor }}
{{- if $monitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ .name }}
  namespace: {{ .namespace | default .root.Release.Namespace }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
    {{- with $monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "gamekeeper.selector" . | nindent 6 }}
  podMetricsEndpoints:
    - {port: admin, path: /metrics, interval: {{ $monitor.interval }}}
{{- end }}
{{- end }}

{{- define "gamekeeper.service" }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
  {{- with .values.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .values.service.type }}
  selector:
    {{- include "gamekeeper.selector" . | nindent 4 }}
  ports:
    - name: {{ .port }}
      port: {{ .values.service.port }}
      targetPort: {{ .port }}
      protocol: TCP
      {{- with .appProtocol }}
      appProtocol: {{ . }}
      {{- end }}
{{- end }}
