package guard

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
)

// Errors of a server that does not keep to the protocol, or sends too much.
var (
	ErrProtocol = errors.New("not the MySQL protocol")
	ErrTooLarge = errors.New("a response larger than any expected one")
)

// The capabilities that no server of ours has: the client reads files for it, or
// inflates what it sends. Without the third, the end of rows has one form.
const (
	withoutLow  = 0x0080 | 0x0020 // LOCAL_FILES, COMPRESS
	withoutHigh = 0x0100          // DEPRECATE_EOF
	withTLS     = 0x0800
)

const (
	moreResults = 0x0008 // a status: another answer follows
	maxColumns  = 64     // of one result; the widest that is used has 12
)

// The first bytes of packets.
const (
	isOK        = 0x00
	isMoreData  = 0x01
	isLocalFile = 0xfb
	isEOF       = 0xfe
	isError     = 0xff
)

// checkGreeting checks the first packet of a server and clears in it capabilities that
// are never to be used. The driver trusts every length in it. ErrProtocol: it has another
// form. Nil also for an error of the server, and a protocol that the driver refuses
// unread.
func checkGreeting(p []byte) error {
	if p[0] == isError {
		return checkError(p)
	}
	if p[0] < 10 {
		return nil // the driver refuses it unread
	}
	end := bytes.IndexByte(p[1:], 0)
	if end < 0 {
		return ErrProtocol
	}
	low := 1 + end + 1 + 4 + 8 + 1 // after version, connection id, salt and filler
	high := low + 2 + 1 + 2        // after character set and status
	extended := high + 2 + 1 + 6   // after the length of the salt and what is reserved
	if len(p) < extended+4+12+len("\x00") {
		return ErrProtocol
	}
	clear16(p[low:], withoutLow)
	clear16(p[high:], withoutHigh)
	binary.LittleEndian.PutUint32(p[extended:], 0) // of MariaDB; one of them leaves out columns
	return nil
}

// clear16 clears some bits of the first 2 bytes, least byte first.
func clear16(p []byte, bits uint16) {
	binary.LittleEndian.PutUint16(p, binary.LittleEndian.Uint16(p)&^bits)
}

// checkLogin checks a packet of the login. done: it is the last one. ErrProtocol: it has
// another form.
func checkLogin(p []byte) (done bool, err error) {
	switch p[0] {
	case isOK:
		_, err := checkOK(p)
		return true, err
	case isError:
		return true, checkError(p)
	case isMoreData:
		return false, checkKey(p[1:])
	case isEOF: // another method, and what it shall scramble the password with
		if i := bytes.IndexByte(p, 0); len(p) > 1 && (i < 0 || string(p[1:i]) == "mysql_native_password" && len(bytes.TrimSuffix(p[i+1:], []byte{0})) < 20) {
			return false, ErrProtocol
		}
		return false, nil
	}
	return false, ErrProtocol
}

// checkKey checks the public key that some methods of login send: the driver uses every key
// as one of RSA. ErrProtocol: p has a PEM block that is no RSA key in PKIX form; nil also if p
// has no PEM block.
func checkKey(p []byte) error {
	block, _ := pem.Decode(p)
	if block == nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return ErrProtocol
	}
	if _, ok := key.(*rsa.PublicKey); !ok {
		return ErrProtocol
	}
	return nil
}

// checkOK returns the status flags of the packet that ends a statement without rows.
// ErrProtocol: it has another form.
func checkOK(p []byte) (status uint16, err error) {
	rest := p[1:]
	for range 2 { // affected rows and last insert id
		_, n, ok := length(rest)
		if !ok {
			return 0, ErrProtocol
		}
		rest = rest[n:]
	}
	if len(rest) < 2 {
		return 0, ErrProtocol
	}
	return binary.LittleEndian.Uint16(rest), nil
}

// checkEOF returns the status flags of the packet that ends rows or columns. ErrProtocol:
// it has another form.
func checkEOF(p []byte) (status uint16, err error) {
	if len(p) < 5 || p[0] != isEOF {
		return 0, ErrProtocol
	}
	return binary.LittleEndian.Uint16(p[3:]), nil
}

// checkError returns ErrProtocol if p is shorter than an error packet.
func checkError(p []byte) error {
	if len(p) < 4 || p[3] == '#' && len(p) < 9 {
		return ErrProtocol
	}
	return nil
}

// checkColumn checks the description of a column: six strings and 11 bytes.
func checkColumn(p []byte) error {
	rest, ok := skipStrings(p, 6)
	if !ok || len(rest) < 11 {
		return ErrProtocol
	}
	return nil
}

// skipStrings returns what follows n strings; ok is false where they are longer than p.
func skipStrings(p []byte, n int) (rest []byte, ok bool) {
	for range n {
		if len(p) > 0 && p[0] < isLocalFile && int(p[0]) < len(p) { // most are short
			p = p[1+int(p[0]):]
			continue
		}
		v, size, ok := length(p)
		if !ok || v > uint64(len(p)-size) {
			return nil, false
		}
		p = p[size+int(v):] //nolint:gosec // less than len(p)
	}
	return p, true
}

// length returns the number in the first one to nine bytes of p; NULL is 0. n is how many
// bytes it takes. ok is false if p is too short or begins with no number.
func length(p []byte) (v uint64, n int, ok bool) {
	if len(p) == 0 {
		return 0, 0, false
	}
	switch p[0] {
	case 0xff:
		return 0, 0, false
	case 0xfb:
		return 0, 1, true
	case 0xfc:
		n = 3
	case 0xfd:
		n = 4
	case 0xfe:
		n = 9
	default:
		return uint64(p[0]), 1, true
	}
	if len(p) < n {
		return 0, 0, false
	}
	var b [8]byte
	copy(b[:], p[1:n])
	return binary.LittleEndian.Uint64(b[:]), n, true
}
