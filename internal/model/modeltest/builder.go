package modeltest

import (
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

type builder struct {
	model.State
	fact Fact
}

// at returns a label's value; "" where the fact has fewer.
func (b *builder) at(i int) string {
	if i < len(b.fact.Labels) {
		return b.fact.Labels[i]
	}
	return ""
}

// number returns label i as a number, 0 if it is none.
func (b *builder) number(i int) int {
	n, _ := strconv.Atoi(b.at(i)) // 0: not known
	return n
}

// v returns the value of the fact; nil if it is not finite.
func (b *builder) v() *float64 { return model.Known(b.fact.Value) }

// set sets one of these numbers by the fact's name; false if none has it.
func (b *builder) set(numbers map[string]**float64) bool {
	n, ok := numbers[b.fact.Name]
	if ok {
		*n = b.v()
	}
	return ok
}

// entry returns a pointer to the first entry of a list that is accepts. If there is none,
// it appends fresh and returns a pointer to that. An append to the list makes it invalid.
func entry[T any](list *[]T, is func(*T) bool, fresh T) *T {
	i := slices.IndexFunc(*list, func(x T) bool { return is(&x) })
	if i < 0 {
		*list, i = append(*list, fresh), len(*list)
	}
	return &(*list)[i]
}

// mysqlServer returns the MySQL server of that name, which it adds if it is missing.
func (b *builder) mysqlServer(name string) *model.MySQLServer {
	return entry(&b.MySQL, func(s *model.MySQLServer) bool { return s.Name == name }, model.MySQLServer{Name: name, Up: true})
}

// redisServer returns the Redis server of that name, which it adds if it is missing.
func (b *builder) redisServer(name string) *model.RedisServer {
	return entry(&b.Redis, func(s *model.RedisServer) bool { return s.Name == name }, model.RedisServer{Name: name, Up: true})
}
