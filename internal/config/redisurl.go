package config

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// RedisKind is the kind of deployment behind a URL.
type RedisKind int

// The kinds, each with schemes of its own.
const (
	RedisServer   RedisKind = iota // redis://, rediss:// and unix://: one server
	RedisSentinel                  // redis+sentinel://, rediss+sentinel://: whichever server the sentinels call the master
	RedisCluster                   // redis+cluster://, rediss+cluster://: all masters of a cluster
)

// RedisURL holds the parts of a Redis URL. It may hold a password, so print none of it.
type RedisURL struct {
	Kind       RedisKind
	Addrs      []string // host:port, at most 16; one path of a UNIX socket; of sentinels or of some nodes of the cluster
	Master     string   // of RedisSentinel: the name that the sentinels know the master by
	User       string
	Password   Secret
	DB         int // 0 to 65535; 0 for a cluster
	TLS        bool
	CAFile     string // absolute path of PEM certificates; "": those of the system
	CertFile   string // absolute path of the client's own certificate; "": none
	KeyFile    string // absolute path of its key
	ServerName string // what the server's certificate must name; "": the host of the address
}

// maxRedisAddrs bounds the addresses of one URL.
const maxRedisAddrs = 16

// errRedisURL repeats nothing of the URL, which may hold a password.
var errRedisURL = errors.New("expected " + schema.Wanted[Redis]("url"))

// ParseRedisURL reads the forms
//
//	redis[s]://[user[:password]@]host[:port][/db][?db=…]
//	unix://[user[:password]@]/path[?db=…]
//	redis[s]+sentinel://[user[:password]@]host[:port],…/master[?db=…]
//	redis[s]+cluster://[user[:password]@]host[:port],…
//
// where rediss also takes the keys ca_file, cert_file, key_file and server_name. The user and
// the password are those of Redis itself, with what is special in a URL as %XX. The error says
// what is expected, and nothing of what was given.
func ParseRedisURL(s Secret) (RedisURL, error) {
	var u RedisURL
	scheme, rest, ok := strings.Cut(string(s), "://")
	if !ok || schema.HasControl(rest) || strings.Contains(rest, "#") {
		return u, errRedisURL
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path := splitPath(rest)
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if !u.login(authority[:i]) {
			return RedisURL{}, errRedisURL
		}
		authority = authority[i+1:]
	}
	if !u.place(scheme, authority, path) || !u.options(query) {
		return RedisURL{}, errRedisURL
	}
	return u, nil
}

// splitPath returns a URL up to its path, and the path; "" if it has none. The part before
// the last @ may be a password with a slash in it.
func splitPath(s string) (authority, path string) {
	if strings.HasPrefix(s, "/") {
		return "", s
	}
	at := strings.LastIndexByte(s, '@') + 1
	if slash := strings.IndexByte(s[at:], '/'); slash >= 0 {
		return s[:at+slash], s[at+slash:]
	}
	return s, ""
}

// login sets the user and the password from "user", "user:password" or ":password". It
// returns false for a wrong escape.
func (u *RedisURL) login(s string) bool {
	user, password, _ := strings.Cut(s, ":")
	user, err1 := url.PathUnescape(user)
	password, err2 := url.PathUnescape(password)
	u.User, u.Password = user, Secret(password)
	return err1 == nil && err2 == nil
}

// place sets TLS, the kind, the addresses and what the path names: the socket, the database or the
// master. False: an unknown scheme, a part that is invalid or does not fit it, or too many addresses.
func (u *RedisURL) place(scheme, authority, path string) bool {
	base, kind, _ := strings.Cut(scheme, "+")
	u.TLS = base == "rediss"
	switch {
	case scheme == "unix":
		u.Addrs = []string{path}
		return authority == "" && address.IsSocketPath(path)
	case base != "redis" && base != "rediss":
		return false
	}
	list := strings.Split(authority, ",")
	if len(list) > maxRedisAddrs {
		return false
	}
	path = strings.Trim(path, "/")
	switch kind {
	case "":
		return len(list) == 1 && u.hosts(list, "6379") && u.database(path) && !strings.HasSuffix(scheme, "+")
	case "sentinel":
		u.Kind, u.Master = RedisSentinel, path
		return u.hosts(list, "26379") && path != "" && !strings.Contains(path, "/")
	case "cluster":
		u.Kind = RedisCluster
		return u.hosts(list, "6379") && path == ""
	default:
		return false
	}
}

// hosts adds addresses, with a port where none is given; false: one is invalid.
func (u *RedisURL) hosts(list []string, port string) bool {
	for _, s := range list {
		host, given, err := net.SplitHostPort(s)
		if err != nil {
			host, given = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), port
		}
		n, err := strconv.ParseUint(given, 10, 16)
		if err != nil || n == 0 || host == "" || !address.IsHost(host) {
			return false
		}
		u.Addrs = append(u.Addrs, net.JoinHostPort(host, given))
	}
	return true
}

// database sets the number of the database; "" leaves it as it is. It returns false for
// anything but a number up to 65535, and for another one than 0 in a cluster.
func (u *RedisURL) database(s string) bool {
	if s == "" {
		return true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	u.DB = int(n)
	return err == nil && (u.Kind != RedisCluster || n == 0)
}

// options sets what the query string says: the database, the TLS files and the server name. It returns false for
// an unknown, repeated, empty or invalid one, one of TLS without TLS, or only one of certificate and key.
func (u *RedisURL) options(query string) bool {
	values, err := url.ParseQuery(query)
	if err != nil {
		return false
	}
	files := map[string]*string{"ca_file": &u.CAFile, "cert_file": &u.CertFile, "key_file": &u.KeyFile}
	for key, v := range values {
		file := files[key]
		switch {
		case len(v) != 1 || v[0] == "":
			return false
		case key == "db":
			if !u.database(v[0]) {
				return false
			}
		case file != nil && u.TLS && schema.IsAbsolute(v[0]):
			*file = v[0]
		case key == "server_name" && u.TLS && address.IsHost(v[0]):
			u.ServerName = v[0]
		default:
			return false
		}
	}
	return (u.CertFile == "") == (u.KeyFile == "")
}
