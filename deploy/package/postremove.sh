#!/bin/sh
# After a removal. The state, the configuration and the user stay; `apt-get purge`
# also removes the state. The user always stays, because files may belong to it.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/resp-exporter
fi
