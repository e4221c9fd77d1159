# bash completion of resp-exporter
# Made from the flags by TestManual of cmd/resp-exporter; do not edit.

_resp_exporter() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' i flags
	local commands='serve check doctor stack history leak'
	if [[ $cur == '=' ]]; then
		cur=''
	elif [[ $prev == '=' ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		serve | check | doctor | stack | history | leak) command=${COMP_WORDS[i]} ;;
		esac
	done
	COMPREPLY=()
	case $prev in
	--web.listen-address) return ;;
	--web.config.file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--config.file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--web.external-url) return ;;
	--web.allowed-host) return ;;
	--web.route-prefix) return ;;
	--web.telemetry-path) return ;;
	--web.max-requests) return ;;
	--timeout-offset) return ;;
	--path.procfs) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--path.sysfs) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--path.rootfs) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--state.dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--control.dir) return ;;
	--log.level) mapfile -t COMPREPLY < <(compgen -W 'debug info warn error' -- "$cur"); return ;;
	--log.format) mapfile -t COMPREPLY < <(compgen -W 'logfmt json' -- "$cur"); return ;;
	--url) return ;;
	--output) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$cur"); return ;;
	--http.config.file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--output) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$cur"); return ;;
	--output) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$cur"); return ;;
	--at) return ;;
	--from) return ;;
	--to) return ;;
	--app) return ;;
	--url) return ;;
	--http.config.file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	esac
	flags='--help --no-help --version --no-version --web.systemd-socket --no-web.systemd-socket --web.listen-address --web.config.file --config.file --config.check --no-config.check --web.external-url --web.allowed-host --web.route-prefix --web.telemetry-path --web.enable-lifecycle --no-web.enable-lifecycle --web.enable-pprof --no-web.enable-pprof --web.max-requests --web.disable-exporter-metrics --no-web.disable-exporter-metrics --timeout-offset --path.procfs --path.sysfs --path.rootfs --state.dir --control.dir --collector.disable-defaults --no-collector.disable-defaults --collector.bottleneck --no-collector.bottleneck --collector.config --no-collector.config --collector.disk --no-collector.disk --collector.heal --no-collector.heal --collector.health --no-collector.health --collector.history --no-collector.history --collector.host --no-collector.host --collector.leak --no-collector.leak --collector.listener --no-collector.listener --collector.memory --no-collector.memory --collector.mysql --no-collector.mysql --collector.pool --no-collector.pool --collector.pressure --no-collector.pressure --collector.process --no-collector.process --collector.redis --no-collector.redis --collector.requests --no-collector.requests --collector.sessions --no-collector.sessions --collector.statsd --no-collector.statsd --collector.tasks --no-collector.tasks --collector.waits --no-collector.waits --collector.workers --no-collector.workers --log.level --log.format'
	case $command in
	check) flags+=' --url --output --http.config.file --self --no-self' ;;
	doctor) flags+=' --output' ;;
	stack) flags+=' --output' ;;
	history) flags+=' --at --from --to --app --json --no-json --url --http.config.file' ;;
	leak) flags+=' --csv --no-csv --latched --no-latched' ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
	elif [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
	elif [[ $command == leak ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

complete -o filenames -F _resp_exporter resp-exporter
