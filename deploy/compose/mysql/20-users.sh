#!/bin/bash
# Creates the users, once, when the database is created. The exporter's user has
# only the rights of docs/mysql.md. Any client host is allowed, because the server
# is in a network of its own. The script also works on MariaDB.
set -eu

secrets=${SECRETS:-/run/secrets}
MYSQL_PWD=$(cat "$secrets/mysql_root")
export MYSQL_PWD

# word reads a password. It becomes part of a statement, so only letters and digits are allowed.
word() {
	local w
	w=$(cat "$secrets/$1")
	case $w in
	'' | *[!A-Za-z0-9]*)
		echo "20-users.sh: $1 must have letters and digits only" >&2
		return 1
		;;
	esac
	printf %s "$w"
}

shop=$(word mysql_shop)
jobs=$(word mysql_jobs)
resp=$(word mysql_resp)

mysql --user=root <<SQL
CREATE USER 'shop'@'%' IDENTIFIED BY '$shop';
CREATE USER 'jobs'@'%' IDENTIFIED BY '$jobs';
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'shop'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'jobs'@'%';
CREATE USER 'resp'@'%' IDENTIFIED BY '$resp' WITH MAX_USER_CONNECTIONS 3;
GRANT PROCESS ON *.* TO 'resp'@'%';
GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'%';
GRANT SELECT (THREAD_ID, PROCESSLIST_ID) ON performance_schema.threads TO 'resp'@'%';
GRANT SELECT (THREAD_ID, DIGEST_TEXT) ON performance_schema.events_statements_current TO 'resp'@'%';
SQL

case $(mysql --user=root --skip-column-names --execute 'SELECT VERSION()') in
*MariaDB*) ;; # MariaDB does not have the first two tables, and has no use for the others
*)
	mysql --user=root <<SQL
GRANT SELECT ON performance_schema.data_lock_waits TO 'resp'@'%';
GRANT SELECT (ENGINE_LOCK_ID, OBJECT_SCHEMA, OBJECT_NAME) ON performance_schema.data_locks TO 'resp'@'%';
GRANT SELECT ON performance_schema.metadata_locks TO 'resp'@'%';
GRANT SELECT (PROCESSLIST_ID, ATTR_NAME, ATTR_VALUE) ON performance_schema.session_connect_attrs TO 'resp'@'%';
SQL
	;;
esac
