#!/bin/bash
# Creates the procedures of deploy/sql, with which the exporter ends connections
# and statements, for the users of 20-users.sh. They may end only those of the
# shop's own user, not those of the RQ worker's user.
set -eu

secrets=${SECRETS:-/run/secrets}
MYSQL_PWD=$(cat "$secrets/mysql_root")
export MYSQL_PWD

# The account's random password is discarded: no client logs in with it.
sed "s/'resp'@'127.0.0.1'/'resp'@'%'/g" "${HEAL_SQL:-/opt/heal.sql}" | mysql --user=root >/dev/null
mysql --user=root --execute "INSERT INTO resp_heal.allowed VALUES ('shop')"
