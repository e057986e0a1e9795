{{/* Labels of everything that belongs to a controller: (dict "root" $ "name" "pod-sync") */}}
{{- define "gamekeeper.labels" -}}
{{ include "gamekeeper.selector" . }}
app.kubernetes.io/part-of: gamekeeper
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The labels that never change. */}}
{{- define "gamekeeper.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "gamekeeper.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Name of something in no namespace: of this release, whatever others there are. */}}
{{- define "gamekeeper.clusterName" -}}
gamekeeper:{{ .root.Release.Namespace }}:{{ .name }}
{{- end }}

{{/* One flag a line. A list repeats its flag; a switch stands alone, and false leaves it out. leader-elect is no switch. */}}
{{- define "gamekeeper.flags" -}}
{{- range $name, $value := .flags }}
{{- if and (kindIs "bool" $value) (ne $name "leader-elect") }}
{{- if $value }}
- {{ printf "--%s" $name | quote }}
{{- end }}
{{- else }}
{{- range $one := (kindIs "slice" $value | ternary $value (list $value)) }}
- {{ printf "--%s=%s" $name (include "gamekeeper.text" $one) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Helm reads every number as floating point and would print 1000000 as 1e+06. */}}
{{- define "gamekeeper.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* Restricted Pod Security, whole. */}}
{{- define "gamekeeper.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gamekeeper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "gamekeeper.priorityClassName" -}}
{{- if .pod.priorityClassName -}}
{{ .pod.priorityClassName }}
{{- else if .root.Values.priorityClass.create -}}
gamekeeper-{{ .root.Release.Namespace }}
{{- end -}}
{{- end }}

{{- define "gamekeeper.topologySpread" -}}
{{- $selector := dict "matchLabels" (include "gamekeeper.selector" . | fromYaml) }}
{{- $constraints := .pod.topologySpreadConstraints }}
{{- if kindIs "invalid" $constraints }}
{{- $constraints = list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway") }}
{{- end }}
{{- range $constraints }}
- {{ merge (deepCopy .) (dict "labelSelector" $selector) | toYaml | indent 2 | trim }}
{{- end }}
{{- end }}
