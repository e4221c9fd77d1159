#!/bin/sh
# Before a removal; nothing before an upgrade (dpkg: "upgrade"; rpm: 1).
set -e

case "$1" in
remove | 0)
	units="resp-exporter.service resp-exporter.socket resp-exporter-statsd.socket"
	if [ -d /run/systemd/system ]; then
		# shellcheck disable=SC2086 # several units
		systemctl --quiet disable --now $units || true
	fi
	;;
esac
