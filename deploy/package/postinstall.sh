#!/bin/sh
# After the installation or an upgrade. The service is not enabled: it begins with
# `systemctl enable --now resp-exporter`. If it ran before an upgrade, it is restarted.
set -e

# dpkg: "configure" and the previous version; rpm: the number of installed versions.
upgrade=no
case "$1" in
configure) [ -z "$2" ] || upgrade=yes ;;
[2-9]*) upgrade=yes ;;
esac

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	if [ "$upgrade" = yes ]; then
		systemctl try-restart resp-exporter.service || echo "resp-exporter did not start again: journalctl -u resp-exporter" >&2
	fi
fi
