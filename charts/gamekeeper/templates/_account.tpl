{{/* ServiceAccount and rights, from files/rbac.yaml. */}}
{{- define "gamekeeper.account" -}}
{{- $root := .root }}
{{- $namespace := .namespace | default $root.Release.Namespace }}
{{- $rules := index ($root.Files.Get "files/rbac.yaml" | fromYaml) (.account | default .name) }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ $namespace }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- $cluster := $rules.always }}
{{- if .tokens }}
{{- $cluster = concat $cluster $rules.tokens }}
{{- end }}
{{- if not $root.Values.namespaces }}
{{- $cluster = concat $rules.namespaced $rules.unlimited $cluster }}
{{- end }}
{{- $grant := merge (dict "namespace" $namespace) . }}
{{- if $cluster }}
{{- include "gamekeeper.role" (merge (dict "rules" $cluster "kind" "ClusterRole" "role" (include "gamekeeper.clusterName" .)) $grant) }}
{{- end }}
{{- range $root.Values.namespaces }}
{{- include "gamekeeper.role" (merge (dict "rules" $rules.namespaced "kind" "Role" "role" (include "gamekeeper.clusterName" $grant) "in" .) $grant) }}
{{- end }}
{{- if $rules.own }}
{{- include "gamekeeper.role" (merge (dict "rules" $rules.own "kind" "Role" "role" (printf "%s-leases" .name) "in" $root.Release.Namespace) $grant) }}
{{- end }}
{{- end }}

{{/* A role and its binding. */}}
{{- define "gamekeeper.role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .role | quote }}
  {{- with .in }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .role | quote }}
  {{- with .in }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "gamekeeper.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .role | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .namespace }}
{{- end }}
