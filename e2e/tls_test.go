package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// TestTLSAndBasicAuth checks TLS and a login by the web configuration file that all
// exporters share.
func TestTLSAndBasicAuth(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	pool := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	web := write(t, filepath.Join(dir, "web.yml"), joined(
		"tls_server_config: {cert_file: cert.pem, key_file: key.pem}",
		"basic_auth_users: {prom: '"+string(hash)+"'}",
	))
	x := watch(t, export{args: []string{"--web.config.file=" + web}})
	x.url = strings.Replace(x.url, "http:", "https:", 1)
	x.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	ask := func(user, password string) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.url+"/metrics", nil)
		if err != nil {
			return 0, err
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		resp, err := x.client.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	eventually(t, 20*time.Second, func() error {
		status, err := ask("prom", "open sesame")
		return all(err, wants("status with the password", status, http.StatusOK))
	})
	for _, password := range []string{"", "wrong"} {
		if status, err := ask("prom", password); err != nil || status != http.StatusUnauthorized {
			t.Errorf("password %q: status %d, %v", password, status, err)
		}
	}
	if status, err := ask("", ""); err != nil || status != http.StatusUnauthorized {
		t.Errorf("no login: status %d, %v", status, err)
	}
	plain := &http.Client{Timeout: 5 * time.Second}
	resp, err := plain.Get(strings.Replace(x.url, "https:", "http:", 1) + "/metrics")
	if err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("metrics were given without TLS")
		}
	}
}

// certificate writes cert.pem and key.pem for 127.0.0.1, and returns the pool that trusts it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(dir, "cert.pem"), string(cert))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}
