{{- define "stonechat.name" -}}
{{- if contains "stonechat" .Release.Name -}}
{{ .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-stonechat" (.Release.Name | trunc 20 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{- define "stonechat.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What selects the pods of one part: (list $ "connector"). */}}
{{- define "stonechat.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: stonechat
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "stonechat.labels" -}}
{{- $root := index . 0 -}}
{{ include "stonechat.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* All functions of plain mode, as YAML: NAME → defaults, stack.yml's facts, overrides. */}}
{{- define "stonechat.functions" -}}
{{- $listed := merge (.Files.Get "files/functions.yaml" | fromYaml) (deepCopy .Values.functions.extra) -}}
{{- range $name := keys .Values.functions.overrides -}}
{{- if not (hasKey $listed $name) }}{{ fail (printf "functions.overrides names %s, which is no function" $name) }}{{ end -}}
{{- end -}}
{{- $all := dict -}}
{{- range $name, $facts := $listed -}}
{{- $own := index $.Values.functions.overrides $name | default dict -}}
{{- $_ := set $all $name (mergeOverwrite (deepCopy $.Values.functions.defaults) $facts $own) -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{/* The raw routes that functions declare, as YAML: /function/NAME/PATH → NAME. */}}
{{- define "stonechat.raws" -}}
{{- $all := dict -}}
{{- range $name, $each := include "stonechat.functions" . | fromYaml -}}
{{- range $path := splitList "," (index ($each.annotations | default dict) "stonechat.raw" | default "") -}}
{{- $path = trim $path -}}
{{- if $path -}}
{{- if not (regexMatch "^(/[A-Za-z0-9_.-]*[A-Za-z0-9_-])+/?$" $path) }}{{ fail (printf "function %s: %s is no path of a raw route" $name $path) }}{{ end -}}
{{- $_ := set $all (printf "/function/%s%s" $name (trimSuffix "/" $path)) $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toYaml $all }}
{{- end -}}

{{/* Under spec of every pod. Service links would set STONECHAT_…_PORT, which are settings of ours. */}}
{{- define "stonechat.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "stonechat.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "stonechat.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "stonechat.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{ include "stonechat.selector" . | nindent 6 }}
{{- end -}}

{{/* The settings all our processes share. Who reads them is restarted when they change. */}}
{{- define "stonechat.settings" -}}
{{- if .Values.settingsSecret }}
STONECHAT_ENV_FILE: /var/openfaas/secrets/stonechat-settings
{{- else if not (and .Values.stores.redisUrl .Values.stores.mongoUrl) }}
{{- fail "say where the stores are: stores.redisUrl and stores.mongoUrl, or settingsSecret" }}
{{- end }}
{{- with .Values.stores }}
{{- if .redisUrl }}
STONECHAT_REDIS_URL: {{ .redisUrl | quote }}
{{- end }}
{{- if .mongoUrl }}
STONECHAT_MONGO_URL: {{ .mongoUrl | quote }}
{{- end }}
{{- if .s3Url }}
STONECHAT_S3_URL: {{ .s3Url | quote }}
{{- end }}
STONECHAT_MONGO_DATABASE: {{ .mongoDatabase | quote }}
STONECHAT_S3_BUCKET: {{ .s3Bucket | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
STONECHAT_{{ $name | upper }}: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "stonechat.environment" -}}
envFrom:
  - configMapRef: {name: {{ include "stonechat.name" . }}-settings}
{{- end -}}

{{/* The volume of secrets: (list $ names). */}}
{{- define "stonechat.secrets" -}}
{{- $root := index . 0 -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range index . 1 }}
      - secret: {name: {{ . }}}
      {{- end }}
      {{- with $root.Values.settingsSecret }}
      - secret: {name: {{ . }}, items: [{key: stonechat-settings, path: stonechat-settings}]}
      {{- end }}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- end -}}

{{- define "stonechat.mounts" -}}
- {name: secrets, mountPath: /var/openfaas/secrets, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* A HorizontalPodAutoscaler's spec: (list DEPLOYMENT autoscaling). */}}
{{- define "stonechat.autoscaling" -}}
{{- $scaling := index . 1 -}}
scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ index . 0 }}}
minReplicas: {{ $scaling.minReplicas }}
maxReplicas: {{ $scaling.maxReplicas }}
metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ $scaling.cpu }}}}
{{- end -}}
