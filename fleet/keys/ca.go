package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// The names of the files in a shop's folder of keys. The secret ones end with .key.
const (
	FileCA        = "ca.pem"
	FileCAKey     = "ca.key"
	FileServer    = "server.pem" // with the CA's certificate behind it, see Pinned
	FileServerKey = "server.key"
)

// How long a certificate is good for. A server's is renewed when a third is left; a
// client's dies with its key long before, by the table of roles.
const (
	ForCA     = 20 * 365 * 24 * time.Hour
	ForServer = 365 * 24 * time.Hour
	// early is how long before its making a certificate is good: a Pi without a clock
	// battery wakes up in the past.
	early = 30 * 24 * time.Hour
)

// CA is the shop's own authority. Its keys and those of its certificates are ECDSA
// P-256, because browsers take no Ed25519 in a certificate.
type CA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// String is whose authority it is; its key is shown by no verb of fmt.
func (ca *CA) String() string {
	if ca == nil {
		return "no authority"
	}
	return "the authority " + ca.cert.Subject.CommonName
}

// Format prints String for every verb, so that none walks the fields.
func (ca *CA) Format(f fmt.State, _ rune) { io.WriteString(f, ca.String()) }

// NewCA makes an authority; its name is for people who look at a certificate.
func NewCA(name string, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-early), NotAfter: now.Add(ForCA),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &CA{cert, key}, err
}

// OpenCA loads the authority of a folder, or makes it where there is none.
func OpenCA(dir, name string, now time.Time) (*CA, error) {
	ca, err := LoadCA(dir)
	if !errors.Is(err, ErrNoKey) {
		return ca, err
	}
	// A certificate without its key may be one that others trust already.
	if _, err := os.Lstat(filepath.Join(dir, FileCA)); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there, and its key %s is not: put the key back, or move the certificate away to make a new CA, which every computer of the shop must be told", filepath.Join(dir, FileCA), FileCAKey)
	}
	if ca, err = NewCA(name, now); err != nil {
		return nil, err
	}
	return ca, ca.Save(dir)
}

// LoadCA reads the authority of a folder. Errors as of Load.
func LoadCA(dir string) (*CA, error) {
	key, err := loadSigner(filepath.Join(dir, FileCAKey))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileCA)
	certs, err := LoadCerts(path)
	if err != nil {
		return nil, err
	}
	ca := &CA{certs[0], key}
	if !ca.cert.IsCA || !samePublic(ca.cert.PublicKey, key) {
		return nil, fmt.Errorf("%s is no CA of the key %s", path, FileCAKey)
	}
	return ca, nil
}

func samePublic(public any, key crypto.Signer) bool {
	p, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(key.Public())
}

// Save writes ca.key, which nobody else may read, and ca.pem into a folder. Nothing
// is written over.
func (ca *CA) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save the CA: %w", err)
	}
	text, err := signerText(ca.key)
	if err != nil {
		return err
	}
	defer clear(text)
	// The key first: a certificate without one is a CA that can't be used.
	if err := create(filepath.Join(dir, FileCAKey), text, 0o600); err != nil {
		return err
	}
	return create(filepath.Join(dir, FileCA), ca.PEM(), 0o644)
}

// PEM is the certificate, which everybody may have.
func (ca *CA) PEM() []byte { return certText(ca.cert) }

// Pool trusts this authority and no other.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Fingerprint is that of the authority, see Fingerprint.
func (ca *CA) Fingerprint() string { return Fingerprint(ca.cert) }

// Until is the end of its certificate.
func (ca *CA) Until() time.Time { return ca.cert.NotAfter }

// Fingerprint is the SHA-256 of a certificate's public key (its SPKI), as 64
// hexadecimal digits. It stays when a certificate is renewed for the same key.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Pair is a certificate with its key.
type Pair struct {
	cert  *x509.Certificate
	chain []byte // PEM: the certificate, and the CA's
	key   crypto.Signer
}

// String is whose certificate it is; its key is shown by no verb of fmt.
func (p *Pair) String() string {
	if p == nil {
		return "no certificate"
	}
	return "a certificate of " + strings.Join(p.Names(), ", ")
}

// Format prints String for every verb, so that none walks the fields.
func (p *Pair) Format(f fmt.State, _ rune) { io.WriteString(f, p.String()) }

// Server makes the certificate of a server under its names and addresses, of which
// there is at least one.
func (ca *CA) Server(names []string, now time.Time, good time.Duration) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return ca.server(key, names, now, good)
}

func (ca *CA) server(key crypto.Signer, names []string, now time.Time, good time.Duration) (*Pair, error) {
	if len(names) == 0 {
		return nil, errors.New("a server's certificate needs a name or an address by which others reach it")
	}
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}} // routes of a cluster are both
	for _, name := range names {
		ip := net.ParseIP(name)
		switch {
		case ip != nil:
			t.IPAddresses = append(t.IPAddresses, ip)
		case IsHost(name):
			t.DNSNames = append(t.DNSNames, name)
		default:
			return nil, fmt.Errorf("%q is neither the name nor the address of a computer", name)
		}
	}
	t.Subject.CommonName = names[0]
	return ca.issue(t, key, now, good)
}

// Client makes the certificate of a client under the one subject by which servers
// know its role, for example zoe.machine.barista.
func (ca *CA) Client(subject string, now time.Time, good time.Duration) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return ca.client(key, subject, now, good)
}

func (ca *CA) client(key crypto.Signer, subject string, now time.Time, good time.Duration) (*Pair, error) {
	if !IsHost(subject) || !strings.Contains(subject, ".") {
		return nil, fmt.Errorf("%q is no subject of a role: write for example zoe.machine.barista", subject)
	}
	t := &x509.Certificate{DNSNames: []string{subject}, Subject: pkix.Name{CommonName: subject}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	return ca.issue(t, key, now, good)
}

func (ca *CA) issue(t *x509.Certificate, key crypto.Signer, now time.Time, good time.Duration) (*Pair, error) {
	t.NotBefore, t.NotAfter = now.Add(-early), now.Add(good)
	if t.NotAfter.After(ca.cert.NotAfter) {
		t.NotAfter = ca.cert.NotAfter // a longer one would end with its CA all the same, unseen
	}
	t.KeyUsage, t.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &Pair{cert, append(certText(cert), ca.PEM()...), key}, nil
}

// IsHost reports whether a text may be the name of a computer: labels of a-z, 0-9
// and - with dots between them.
func IsHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// Until is the end of the certificate.
func (p *Pair) Until() time.Time { return p.cert.NotAfter }

// Names are the names and addresses in the certificate.
func (p *Pair) Names() []string {
	names := append([]string{}, p.cert.DNSNames...)
	for _, ip := range p.cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// TLS is the pair as connections take it.
func (p *Pair) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: p.key, Leaf: p.cert}
	for block, rest := pem.Decode(p.chain); block != nil; block, rest = pem.Decode(rest) {
		c.Certificate = append(c.Certificate, block.Bytes)
	}
	return c
}

// Save writes a pair into two new files, the key's with mode 0600. Nothing is
// written over.
func (p *Pair) Save(cert, key string) error {
	text, err := signerText(p.key)
	if err != nil {
		return err
	}
	defer clear(text)
	for _, path := range []string{cert, key} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("save the certificate: %w", err)
		}
	}
	if err := create(key, text, 0o600); err != nil {
		return err
	}
	return create(cert, p.chain, 0o644)
}

// LoadPair reads a certificate and its key, ours or any other; the key's file is for
// its owner only. Errors as of Load.
func LoadPair(cert, key string) (*Pair, error) {
	signer, err := loadSigner(key)
	if err != nil {
		return nil, err
	}
	certs, err := LoadCerts(cert)
	if err != nil {
		return nil, err
	}
	if !samePublic(certs[0].PublicKey, signer) {
		return nil, fmt.Errorf("the certificate %s is not of the key %s", cert, key)
	}
	p := &Pair{cert: certs[0], key: signer}
	for _, c := range certs {
		p.chain = append(p.chain, certText(c)...)
	}
	return p, nil
}

// LoadCerts reads the certificates of a file, at least one.
func LoadCerts(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no certificate at %s", ErrNoKey, path)
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate can't be read: %w", err)
	}
	certs, err := ParseCerts(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs, nil
}

// ParseCerts reads certificates out of a PEM text, at least one and nothing else.
func ParseCerts(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a %s in it, and only certificates belong there", strings.ToLower(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate in it is damaged: %w", err)
		}
		certs, text = append(certs, c), rest
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in it: it begins with -----BEGIN CERTIFICATE-----")
	}
	return certs, nil
}

// LoadPool reads the authorities that a file trusts.
func LoadPool(path string) (*x509.CertPool, error) {
	certs, err := LoadCerts(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

func loadSigner(path string) (crypto.Signer, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: %w of a certificate", path, ErrNotKey)
	}
	defer clear(block.Bytes)
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok { // what the library says of it stays here
		return nil, fmt.Errorf("%s: %w of a certificate, or it is damaged or has a passphrase", path, ErrNotKey)
	}
	return signer, nil
}

func signerText(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("save the key of a certificate: %w", err)
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func certText(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Renew makes the certificate of two files anew for the key that is there, with the
// names given, or those in it where none are, and writes it over the old one. The key
// stays, so that nobody ever sees half a pair.
func (ca *CA) Renew(cert, key string, names []string, now time.Time, good time.Duration) (*Pair, error) {
	old, err := LoadPair(cert, key)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = old.Names()
	}
	var p *Pair
	if slices.Contains(old.cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		p, err = ca.server(old.key, names, now, good)
	} else {
		p, err = ca.client(old.key, names[0], now, good)
	}
	if err == nil {
		err = p.replace(cert)
	}
	return p, err
}

// replace writes a certificate over an older one, whole or not at all.
func (p *Pair) replace(cert string) error {
	return renameio.WriteFile(cert, p.chain, 0o644)
}
