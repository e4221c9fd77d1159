package redis_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

func TestRights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		r       redis.Rights
		before7 bool
		want    string
	}{
		"none":     {redis.Rights{}, false, "+info +ping +client|setname"},
		"database": {redis.Rights{Database: true, Cluster: true}, false, "+info +ping +client|setname +select +cluster|slots"},
		"rq":       {redis.Rights{RQ: true}, false, "+info +ping +client|setname (+llen +lrange +zcard +zcount +zrangebyscore +scard +srandmember +hmget %R~rq:*)"},
		"rq of 6":  {redis.Rights{RQ: true}, true, "+info +ping +client|setname +llen +lrange +zcard +zcount +zrangebyscore +scard +srandmember +hmget ~rq:*"},
		"celery":   {redis.Rights{Celery: []string{"a*"}}, false, `+info +ping +client|setname (+llen +lrange +hlen +zrangebyscore %R~unacked %R~unacked_index %R~a\* %R~a\*??[1-9])`},
		"sessions": {redis.Rights{Sessions: []string{"web[x]:", "s:"}}, false, `+info +ping +client|setname +scan (+ttl +memory|usage %R~web\[x\]:* %R~s:*)`},
		"leases":   {redis.Rights{Leases: true}, true, "+info +ping +client|setname +time +set +get +del +expire +zadd +zcount +zremrangebyscore +zrem +watch +unwatch +multi +exec ~resp:heal:*"},
		"relay": {redis.Rights{Relay: true}, false, "+info +ping +client|setname (+time +set +get +del +expire +hlen +hget +hgetall +hmget +hset +hdel " +
			"+xadd +xlen +xdel +xack +xreadgroup +xgroup|create +watch +unwatch +multi +exec ~resp:heal:relay:*)"},
		"clients": {redis.Rights{Clients: true, RQ: true}, true, "+info +ping +client|setname +client|list +llen +lrange +zcard +zcount +zrangebyscore +scard +srandmember +hmget ~rq:*"},
		"control": {redis.Rights{Control: true}, false, "+info +ping +client|setname (+eval +getrange +set +del ~resp:control:*)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(c.r.Rules(c.before7), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
