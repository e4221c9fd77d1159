#!/usr/bin/env bash
# `make up` and `make down`: up.sh up starts docker-compose.yml, up.sh down stops
# it. up.sh secrets only writes the missing passwords.
set -euo pipefail
cd "$(dirname "$0")/../.."

secrets=deploy/compose/secrets
names=(grafana_admin mysql_jobs mysql_resp mysql_root mysql_shop redis_resp redis_shop webhook_token)
patience=${UP_SECONDS:-300}

# engine sets compose to the program that runs compose files. podman-compose is not accepted:
# it does not support `pid: "service:…"`, and without that the exporter sees no process.
engine() {
	local try why=
	for try in docker podman; do
		if ! command -v "$try" >/dev/null 2>&1; then
			continue
		elif ! "$try" compose version >/dev/null 2>&1; then
			why="$try is here, but \`$try compose\` does not work"
		elif [ "$try" = podman ] && podman compose version 2>&1 | grep -qi podman-compose; then
			why="podman is here, but its compose is podman-compose, which cannot share the PID namespace of a service"
		elif ! "$try" info >/dev/null 2>&1; then
			why="$try is here, but its engine does not answer"
		else
			compose=("$try" compose)
			return 0
		fi
	done
	echo "make up needs a container engine: Docker with the compose plugin, or Podman with docker-compose behind \`podman compose\`${why:+; $why}." >&2
	return 1
}

# write_secrets creates a random word for each missing password. The directory is
# closed to other users of this host. The files are not, because each is mounted
# into a container with another uid.
write_secrets() {
	mkdir -p "$secrets"
	chmod 700 "$secrets"
	local name
	for name in "${names[@]}"; do
		if [ ! -s "$secrets/$name" ]; then
			(umask 022 && od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$secrets/$name.new")
			mv "$secrets/$name.new" "$secrets/$name"
		fi
	done
}

# answers waits until a port of the loopback responds with status 200.
answers() {
	local what=$1 port=$2 path=$3
	# shellcheck disable=SC2016 # the inner shell expands its own arguments
	while ! timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\n\r\n" "$2" >&3 && head -n 1 <&3 | grep -q " 200 "' _ "$port" "$path" 2>/dev/null; do
		if [ $SECONDS -ge "$patience" ]; then
			echo "make up: $what does not answer at 127.0.0.1:$port after $patience s; see: ${compose[*]} ps; ${compose[*]} logs" >&2
			return 1
		fi
		sleep 1
	done
}

up() {
	engine
	write_secrets
	VERSION=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
	REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
	BRANCH=$(git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
	export VERSION REVISION BRANCH
	"${compose[@]}" up --build -d
	local shop=${SHOP_PORT:-8000} exporter=${EXPORTER_PORT:-9868} prometheus=${PROMETHEUS_PORT:-9090} alertmanager=${ALERTMANAGER_PORT:-9093} grafana=${GRAFANA_PORT:-3000}
	SECONDS=0
	answers "the shop" "$shop" /healthz
	answers "the exporter" "$exporter" /-/ready
	answers Prometheus "$prometheus" /-/ready
	answers Alertmanager "$alertmanager" /-/ready
	answers Grafana "$grafana" /api/health
	cat <<-EOT
		http://127.0.0.1:$exporter/    the exporter's status page
		http://127.0.0.1:$grafana/    Grafana: the dashboards, readable without a login
		http://127.0.0.1:$prometheus/    Prometheus
		http://127.0.0.1:$alertmanager/    Alertmanager
		http://127.0.0.1:$shop/    the shop; its faults are in docs/demo.md
		The passwords are in $secrets. Healing only shows what it would do: docs/compose.md. make down ends it.
	EOT
}

down() {
	engine
	"${compose[@]}" down
}

case ${1:-} in
up) up ;;
down) down ;;
secrets) write_secrets ;;
*)
	echo "up.sh: expected up, down or secrets" >&2
	exit 2
	;;
esac
