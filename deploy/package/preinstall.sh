#!/bin/sh
# Before the files are unpacked: the user of the service.
set -e

if ! getent group resp-exporter >/dev/null; then
	groupadd --system resp-exporter
fi
if ! getent passwd resp-exporter >/dev/null; then
	useradd --system --gid resp-exporter --no-create-home --home-dir /var/lib/resp-exporter \
		--shell /usr/sbin/nologin --comment "resp-exporter" resp-exporter
fi
