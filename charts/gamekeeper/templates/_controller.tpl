{{/*
A controller that is a Deployment, with all that belongs to it:
  root      the top
  name      of the controller: its program, ServiceAccount, Deployment, Lease
  program   where it differs
  account   key of its rules in files/rbac.yaml, where it differs
  values    its part of the values
  args      flags that the chart itself sets
  leases    whether it takes flags of leases
  ports     further ports: list of (dict "name" "port")
  volumes, mounts   of Secrets
  anyEgress whether it connects to game servers
*/}}
{{- define "gamekeeper.controller" -}}
{{- if .values.enabled }}
{{- $pod := mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy .values) }}
{{- $own := merge (dict "pod" $pod) . }}
{{- include "gamekeeper.checkReplicas" $own }}
{{- include "gamekeeper.account" $own }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  revisionHistoryLimit: 5
  strategy:
    # The new one is ready before an old one goes; a leader that goes gives its lease back.
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels:
      {{- include "gamekeeper.selector" . | nindent 6 }}
  template:
    {{- include "gamekeeper.podTemplate" $own | nindent 4 }}
{{- if $pod.pdb.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $pod.pdb.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "gamekeeper.selector" . | nindent 6 }}
{{- end }}
{{- include "gamekeeper.networkPolicy" $own }}
{{- include "gamekeeper.podMonitor" $own }}
{{- end }}
{{- end }}

{{- define "gamekeeper.checkReplicas" -}}
{{- $flags := .values.flags | default dict }}
{{- if and (gt (int .values.replicas) 1) (hasKey $flags "leader-elect") (not (index $flags "leader-elect")) }}
{{- fail (printf "%s: leader-elect is false, which is for one replica; replicas is %v" .name .values.replicas) }}
{{- end }}
{{- end }}

{{/* Pod template of a Deployment or DaemonSet. */}}
{{- define "gamekeeper.podTemplate" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- /* No version: an upgrade that changes nothing of a controller doesn't restart it. */}}
    {{- include "gamekeeper.selector" . | nindent 4 }}
    app.kubernetes.io/part-of: gamekeeper
    {{- with .pod.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $annotations := dict }}
  {{- if $root.Values.metrics.annotations }}
  {{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" "8080" "prometheus.io/path" "/metrics" }}
  {{- end }}
  {{- with mergeOverwrite $annotations (.pod.podAnnotations | default dict) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .name }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .pod.terminationGracePeriodSeconds }}
  {{- with include "gamekeeper.priorityClassName" . }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- .podSecurity | default (include "gamekeeper.podSecurity" .) | nindent 4 }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .pod.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .pod.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .pod.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .pod.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .daemon }}
  {{- with include "gamekeeper.topologySpread" . | trim }}
  topologySpreadConstraints:
    {{- . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - {{ include "gamekeeper.container" . | indent 6 | trim }}
  {{- with .volumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "gamekeeper.container" -}}
{{- $root := .root -}}
name: {{ .program | default .name }}
image: {{ include "gamekeeper.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args:
  - {{ .program | default .name }}
  {{- range $root.Values.namespaces }}
  - {{ printf "--namespace=%s" . | quote }}
  {{- end }}
  {{- range .args }}
  - {{ . | quote }}
  {{- end }}
  {{- $common := $root.Values.commonFlags | default dict }}
  {{- if not .leases }}
  {{- $common = omit $common "lease-duration" "renew-deadline" "retry-period" }}
  {{- end }}
  {{- with include "gamekeeper.flags" (dict "flags" (mergeOverwrite (deepCopy $common) (.values.flags | default dict))) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
env:
  # Who holds a lease.
  - name: POD_UID
    valueFrom: {fieldRef: {fieldPath: metadata.uid}}
  {{- if .daemon }}
  - name: GAMEKEEPER_NODE_NAME
    valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  {{- end }}
  {{- with $root.Values.apiServer.host }}
  - {name: KUBERNETES_SERVICE_HOST, value: {{ . | quote }}}
  {{- end }}
  {{- with $root.Values.apiServer.port }}
  - {name: KUBERNETES_SERVICE_PORT, value: {{ include "gamekeeper.text" . | quote }}}
  {{- end }}
  {{- with .pod.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - {name: admin, containerPort: 8080}
  {{- range .ports }}
  - {name: {{ .name }}, containerPort: {{ .port }}}
  {{- end }}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
resources:
  {{- toYaml .pod.resources | nindent 2 }}
securityContext:
  {{- include "gamekeeper.containerSecurity" . | nindent 2 }}
{{- with .mounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
