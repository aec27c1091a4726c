{{- define "vedette.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vedette.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vedette.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "vedette.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "vedette.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Rule files are named one by one: a folder mounted from a ConfigMap shows each file twice (`..data`). */}}
{{- define "vedette.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "data_dir" "/var/lib/vedette" -}}
{{- $rules := default dict $config.rules -}}
{{- $paths := default list $rules.paths -}}
{{- range $name := keys .Values.rules | sortAlpha -}}
{{- $paths = append $paths (printf "/etc/vedette/rules/%s" $name) -}}
{{- end -}}
{{- $_ := set $config "rules" (merge (dict "paths" $paths) $rules) -}}
{{- toYaml $config -}}
{{- end -}}
