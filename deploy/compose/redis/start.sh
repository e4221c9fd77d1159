#!/bin/sh
# Starts Redis with its users. The file of users contains hashes, not passwords,
# and is stored in memory only. Further arguments are passed to Redis.
set -eu

secrets=${SECRETS:-/run/secrets}
here=$(cd "$(dirname "$0")" && pwd)
users=${RUN_DIR:-/tmp}/users.acl

hash() { printf %s "$(cat "$secrets/$1")" | sha256sum | cut -d ' ' -f 1; }

umask 077
sed -e '/^#/d' -e "s/@redis_resp@/$(hash redis_resp)/" -e "s/@redis_shop@/$(hash redis_shop)/" "$here/users.acl" >"$users"
exec redis-server "$here/redis.conf" --aclfile "$users" --dir "${DATA_DIR:-/data}" "$@"
