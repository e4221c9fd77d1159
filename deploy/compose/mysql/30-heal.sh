#!/bin/bash
# The procedures of deploy/sql through which the exporter ends connections and
# statements, for the users of 20-users.sh. Only what the shop's own user does
# may be ended, not what the RQ worker's does.
set -eu

secrets=${SECRETS:-/run/secrets}
MYSQL_PWD=$(cat "$secrets/mysql_root")
export MYSQL_PWD

# The account's random password goes nowhere: nobody logs in as it.
sed "s/'resp'@'127.0.0.1'/'resp'@'%'/g" "${HEAL_SQL:-/opt/heal.sql}" | mysql --user=root >/dev/null
mysql --user=root --execute "INSERT INTO resp_heal.allowed VALUES ('shop')"
