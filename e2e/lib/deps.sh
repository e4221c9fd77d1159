#!/usr/bin/env bash
# Checks that all programs of the demo and the tests are installed. On Debian and
# its derivatives, as root, it installs what is missing; on other systems it lists
# it and stops.
set -euo pipefail

# One line per requirement: a check for it, and the Debian packages that provide it.
needs() {
	cat <<-'EOF'
		command -v gunicorn|gunicorn
		command -v uwsgi|uwsgi-core
		test -e /usr/lib/uwsgi/plugins/python3_plugin.so|uwsgi-plugin-python3
		/usr/bin/python3 -c 'import flask'|python3-flask
		/usr/bin/python3 -c 'import setproctitle'|python3-setproctitle
		/usr/bin/python3 -c 'import sqlalchemy'|python3-sqlalchemy
		/usr/bin/python3 -c 'import pymysql'|python3-pymysql
		/usr/bin/python3 -c 'import redis'|python3-redis
		command -v rq && /usr/bin/python3 -c 'import rq'|python3-rq
		test -x /usr/bin/celery && /usr/bin/python3 -c 'import celery'|celery
		command -v uvicorn|uvicorn
		command -v waitress-serve|python3-waitress
		command -v hypercorn|python3-hypercorn
		test -x /usr/sbin/apache2 && test -e /usr/lib/apache2/modules/mod_wsgi.so|apache2-bin libapache2-mod-wsgi-py3
		/usr/bin/python3 -c 'import gevent'|python3-gevent
		/usr/bin/python3 -c 'import django'|python3-django
		/usr/bin/python3 -c 'import starlette'|python3-starlette
		command -v prometheus && command -v promtool|prometheus
		command -v prometheus-alertmanager && command -v amtool|prometheus-alertmanager
		command -v chromium|chromium
		command -v mariadbd|mariadb-server
		command -v mariadb|mariadb-client
		command -v redis-server|redis-server
		command -v wrk|wrk
		command -v ip|iproute2
		command -v ps|procps
		command -v setpriv|util-linux
		command -v mke2fs && command -v debugfs|e2fsprogs
		command -v systemd-analyze|systemd
		command -v curl|curl
		command -v openssl|openssl
		command -v node|nodejs
		command -v npm|npm
		command -v gcc|gcc libc6-dev
	EOF
}

missing=()
while IFS='|' read -r probe packages; do
	if ! bash -c "$probe" >/dev/null 2>&1; then
		# shellcheck disable=SC2206 # several packages are several words
		missing+=($packages)
	fi
done < <(needs)

if ! command -v go >/dev/null 2>&1; then
	echo "deps: Go 1.26 or newer is needed, and 'go' is not on the PATH (see https://go.dev/dl/)" >&2
	exit 1
fi
minor=$(GOTOOLCHAIN=local go env GOVERSION | sed -nE 's/^go1\.([0-9]+).*/\1/p')
if [ -n "$minor" ] && [ "$minor" -lt 26 ] && [ "$(go env GOTOOLCHAIN)" = local ]; then
	echo "deps: Go 1.26 or newer is needed, this is $(go env GOVERSION)" >&2
	exit 1
fi

if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing; on Debian, as root: apt-get install -y --no-install-recommends ${missing[*]}" >&2
	exit 1
fi

echo "deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# A new machine must not start Debian's Prometheus on port 9090: a policy-rc.d that
# refuses prevents new services from starting during the installation.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
