#!/bin/sh
# Starts one part of the shop: "serve" is gunicorn, "jobs" an RQ worker, "load"
# the simulated visitors. The passwords are files. The addresses are those of the
# compose file unless the environment sets others.
set -eu

secrets=${SECRETS:-/run/secrets}
here=$(cd "$(dirname "$0")" && pwd)

# stores sets the URLs of the database and Redis for the shop, with that database user.
stores() {
	SHOP_DB="mysql+pymysql://$1:$(cat "$secrets/mysql_$1")@${MYSQL_ADDRESS:-mysql:3306}/shop"
	SHOP_REDIS="redis://shop:$(cat "$secrets/redis_shop")@${REDIS_ADDRESS:-redis:6379}/0"
	RQ_REDIS_URL=$SHOP_REDIS
	export SHOP_DB SHOP_REDIS RQ_REDIS_URL
}

# keep restarts a program whenever it ends, as systemd would: restart_task ends a
# stuck worker and relies on a supervisor to start a new one.
keep() {
	ended=
	child=
	trap 'ended=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true' TERM INT
	while [ -z "$ended" ]; do
		"$@" &
		child=$!
		wait "$child" || true
		# A signal interrupts the first wait; the program ends after its current job.
		if [ -n "$ended" ]; then
			wait "$child" || true
		else
			sleep 1
		fi
	done
}

case ${1:-} in
serve)
	stores shop
	# StatsD goes to the exporter over the shared loopback. With UDP it does not
	# matter which of the two starts first or is restarted. RESP_APP lets the shop
	# use resp_flask.py; its control file is in the volume that both have.
	export RESP_APP=shop RESP_STATSD="udp://${STATSD_ADDRESS:-127.0.0.1:9125}"
	exec gunicorn --preload --workers 4 --timeout 120 --worker-tmp-dir /dev/shm \
		--bind "${SHOP_ADDRESS:-0.0.0.0:8000}" --statsd-host "${STATSD_ADDRESS:-127.0.0.1:9125}" --name shop shop:app
	;;
jobs)
	stores jobs
	keep rq worker -c jobs default
	;;
load)
	exec /usr/bin/python3 "$here/load.py" "${SHOP_URL:-http://shop:8000}"
	;;
*)
	echo "start.sh: expected serve, jobs or load" >&2
	exit 2
	;;
esac
