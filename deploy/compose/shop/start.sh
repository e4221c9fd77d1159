#!/bin/sh
# Starts one part of the shop: "serve" is gunicorn, "jobs" an RQ worker, "load"
# the visitors. The passwords are files; the addresses are those of the compose
# file unless the environment has others.
set -eu

secrets=${SECRETS:-/run/secrets}
here=$(cd "$(dirname "$0")" && pwd)

# stores tells the shop's code its stores, as that user of the database.
stores() {
	SHOP_DB="mysql+pymysql://$1:$(cat "$secrets/mysql_$1")@${MYSQL_ADDRESS:-mysql:3306}/shop"
	SHOP_REDIS="redis://shop:$(cat "$secrets/redis_shop")@${REDIS_ADDRESS:-redis:6379}/0"
	RQ_REDIS_URL=$SHOP_REDIS
	export SHOP_DB SHOP_REDIS RQ_REDIS_URL
}

# keep runs a program anew whenever it ends, as systemd would: whoever ends a
# worker that is stuck must know that another one comes.
keep() {
	ended=
	child=
	trap 'ended=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true' TERM INT
	while [ -z "$ended" ]; do
		"$@" &
		child=$!
		wait "$child" || true
		# A signal ends the first wait early; the program ends behind its job.
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
	# StatsD goes to the exporter over the loopback that both share. By UDP it does
	# not matter which of the two starts first or is started anew.
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
