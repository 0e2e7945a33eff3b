{{/* The name of everything: the release's, with the chart's unless it is part of it. */}}
{{- define "usage.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "usage" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-usage" (.Release.Name | trunc 34 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What selects the objects of this release. */}}
{{- define "usage.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Metadata of an object. Takes {root, component}. */}}
{{- define "usage.metadata" -}}
name: {{ include "usage.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "usage.selector" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "usage.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "usage.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "usage.fullname" .) -}}
{{- end -}}

{{/* The settings of a component, its own before the common ones, as YAML. Takes {root, values}. */}}
{{- define "usage.settings" -}}
{{- mergeOverwrite (deepCopy .root.Values.settings) (deepCopy (.values.settings | default dict)) | toYaml -}}
{{- end -}}

{{/* The same for the settings that are files. */}}
{{- define "usage.files" -}}
{{- $files := deepCopy .root.Values.files -}}
{{- range $variable, $source := .values.files | default dict -}}
{{- $_ := set $files $variable $source -}}
{{- end -}}
{{- $files | toYaml -}}
{{- end -}}

{{/* The parts of a pod's spec that all pods have. Takes {root, component, values}. */}}
{{- define "usage.pod" -}}
serviceAccountName: {{ include "usage.serviceAccount" .root }}
automountServiceAccountToken: false
# Kubernetes' variables for a Service called usage would be unknown settings.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- with .values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "usage.selector" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end -}}

{{/* The parts of a container that all have. Takes {root, component, values}. */}}
{{- define "usage.container" -}}
image: {{ include "usage.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
env:
  # /tmp is all that can be written.
  - {name: HOME, value: /tmp}
  - {name: XDG_RUNTIME_DIR, value: /tmp}
  - {name: PYTHONDONTWRITEBYTECODE, value: "1"}
{{- range $variable, $value := include "usage.settings" . | fromYaml }}
{{- if $value }}
  - name: {{ $variable }}
    value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- range $variable, $_ := include "usage.files" . | fromYaml }}
  - name: {{ $variable }}
    value: /etc/usage/{{ $variable }}
{{- end }}
{{- if has .component (list "worker" "archive" "alerts") }}
  - name: USAGE_HEALTH_PORT
    value: "8081"
{{- else if eq .component "dashboard" }}
{{- with .values.trustedProxies }}
  - name: FORWARDED_ALLOW_IPS
    value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- if include "usage.hasArchive" . }}
{{- with .root.Values.archive }}
  - name: USAGE_ARCHIVE
    value: {{ .bucket | default "/archive" | quote }}
{{- if .bucket }}
{{- if .s3.secret }}
  - name: AWS_ACCESS_KEY_ID
    valueFrom: {secretKeyRef: {name: {{ .s3.secret }}, key: AWS_ACCESS_KEY_ID}}
  - name: AWS_SECRET_ACCESS_KEY
    valueFrom: {secretKeyRef: {name: {{ .s3.secret }}, key: AWS_SECRET_ACCESS_KEY}}
{{- end }}
{{- with .s3.region }}
  - name: AWS_REGION
    value: {{ . | quote }}
{{- end }}
{{- with .s3.endpoint }}
  - name: AWS_ENDPOINT_URL
    value: {{ . | quote }}
{{- if hasPrefix "http://" . }}
  - name: AWS_ALLOW_HTTP
    value: "true"
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Whether a component has the archive: the process that writes it, and the dashboard where it can read it, which is in
S3 and on a volume that several nodes may mount. Takes {root, component}.
*/}}
{{- define "usage.hasArchive" -}}
{{- $archive := .root.Values.archive -}}
{{- if $archive.enabled -}}
{{- if eq .component "archive" -}}yes
{{- else if and (eq .component "dashboard") (or $archive.bucket (eq $archive.accessMode "ReadWriteMany")) -}}yes
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The mounts of a container. Takes {root, component, values}. */}}
{{- define "usage.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if and (include "usage.hasArchive" .) (not .root.Values.archive.bucket) }}
- {name: archive, mountPath: /archive{{ if ne .component "archive" }}, readOnly: true{{ end }}}
{{- end }}
{{- if include "usage.files" . | fromYaml }}
- {name: files, mountPath: /etc/usage, readOnly: true}
{{- end }}
{{- end -}}

{{/* The volumes behind them: each file is named after its variable. Takes {root, component, values}. */}}
{{- define "usage.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .root.Values.tmpSizeLimit }}}
{{- if and (include "usage.hasArchive" .) (not .root.Values.archive.bucket) }}
- name: archive
  persistentVolumeClaim:
    claimName: {{ .root.Values.archive.existingClaim | default (printf "%s-archive" (include "usage.fullname" .root)) }}
{{- end }}
{{- with include "usage.files" . | fromYaml }}
- name: files
  projected:
    defaultMode: 0440
    sources:
    {{- range $variable, $source := . }}
      - {{ if $source.secret }}secret{{ else }}configMap{{ end }}:
          name: {{ $source.secret | default $source.configMap }}
          items:
            - {key: {{ $source.key | quote }}, path: {{ $variable }}}
    {{- end }}
{{- end }}
{{- end -}}

{{/* Fails, in a sentence, where the settings cannot work or have a secret in them. */}}
{{- define "usage.check" -}}
{{- $given := dict -}}
{{- range .Values.extraEnv -}}{{- $_ := set $given .name true -}}{{- end -}}
{{- range list "USAGE_KAFKA" "USAGE_REDIS" -}}
{{- if not (or (get $.Values.settings .) (get $.Values.worker.settings .) (hasKey $given .)) -}}
{{- fail (printf "settings.%s is missing" .) -}}
{{- end -}}
{{- end -}}
{{- range list (list "" .Values) (list "worker." .Values.worker) (list "dashboard." .Values.dashboard) (list "monthEnd." .Values.monthEnd) (list "archive." .Values.archive) (list "alerts." .Values.alerts) -}}
{{- $prefix := index . 0 -}}
{{- range $name, $value := (index . 1).settings -}}
{{- $place := printf "%ssettings.%s" $prefix $name -}}
{{- if and $prefix (has $name (list "USAGE_TOPIC_PREFIX" "USAGE_REDIS_PREFIX")) -}}
{{- fail (printf "%s belongs to settings: all components of an environment have the same names" $place) -}}
{{- else if eq $name "USAGE_ARCHIVE" -}}
{{- fail (printf "%s is not for values: archive.bucket or the archive's volume decides it" $place) -}}
{{- else if has $name (list "USAGE_HEALTH_PORT" "USAGE_ALIVE_FILE") -}}
{{- fail (printf "%s is not for values: the chart's probes decide it" $place) -}}
{{- else if regexMatch "_(FILE|LOCATION)$" $name -}}
{{- fail (printf "%s names a file: name the Secret or ConfigMap that has it in %sfiles.%s" $place $prefix $name) -}}
{{- else if regexMatch "_(PASSWORD|SECRET)$" $name -}}
{{- fail (printf "%s is a secret: name the Secret that has it in %sfiles.%s_FILE" $place $prefix $name) -}}
{{- else if regexMatch "://[^/@]*:[^/@]+@" $value -}}
{{- fail (printf "%s has a password in it: name the Secret that has it in files, or give the variable in extraEnv" $place) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := (index . 1).files -}}
{{- if or (not (regexMatch "_(FILE|LOCATION)$" $name)) (eq $name "USAGE_ALIVE_FILE") -}}
{{- fail (printf "%sfiles.%s is not a variable that names a file: those end in _FILE or _LOCATION" $prefix $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
