package keys

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Served is a server's certificate that follows its file, and is renewed where the
// CA is at hand, while the server goes on: connections that are open stay, the next
// one sees the new certificate.
type Served struct {
	cert, key string // paths
	ca        *CA    // nil: the file is renewed by others
	log       *slog.Logger

	mu     sync.Mutex // guards what follows
	pair   *Pair
	tls    tls.Certificate
	seen   time.Time // the file's time
	looked time.Time
}

// lookAgain is how often the file's time is looked at, at most.
const lookAgain = 10 * time.Second

// Serve reads the certificate of a server. With a CA, which may be nil, it renews it
// when a third of its time is left.
func Serve(cert, key string, ca *CA, log *slog.Logger) (*Served, error) {
	s := &Served{cert: cert, key: key, ca: ca, log: log}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return nil, err
	}
	s.look(time.Now())
	return s, nil
}

// ServeOwn is Serve for a folder of keys, in which it makes the certificate for the
// names where there is none, or where one of them is missing in it.
func ServeOwn(dir string, ca *CA, names []string, log *slog.Logger) (*Served, error) {
	cert, key := dir+"/"+FileServer, dir+"/"+FileServerKey
	old, err := LoadPair(cert, key)
	switch {
	case errors.Is(err, ErrNoKey):
		p, err := ca.Server(names, time.Now(), ForServer)
		if err != nil {
			return nil, err
		}
		if err := p.Save(cert, key); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !covers(old, names):
		p, err := ca.server(old.key, names, time.Now(), ForServer)
		if err != nil {
			return nil, err
		}
		if err := p.replace(cert); err != nil {
			return nil, fmt.Errorf("save the certificate: %w", err)
		}
	}
	return Serve(cert, key, ca, log)
}

func covers(p *Pair, names []string) bool {
	for _, name := range names {
		if p.cert.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

// load reads both files. The caller holds the lock.
func (s *Served) load() error {
	st, err := os.Stat(s.cert)
	if err != nil {
		return fmt.Errorf("the certificate can't be read: %w", err)
	}
	p, err := LoadPair(s.cert, s.key)
	if err != nil {
		return err
	}
	s.pair, s.tls, s.seen = p, p.TLS(), st.ModTime()
	return nil
}

// look follows the file, and renews. What goes wrong is said, and the certificate at
// hand goes on: a server with an old one serves more than none. The caller holds the
// lock.
func (s *Served) look(now time.Time) {
	if !s.looked.IsZero() && now.Sub(s.looked).Abs() < lookAgain {
		return
	}
	s.looked = now
	if st, err := os.Stat(s.cert); err == nil && !st.ModTime().Equal(s.seen) {
		if err := s.load(); err != nil {
			s.log.Error("the server's new certificate can't be used, the old one goes on", "file", s.cert, "err", err)
		} else {
			s.log.Info("the server has a new certificate", "file", s.cert, "until", s.pair.Until())
		}
	}
	c := s.pair.cert
	if s.ca == nil || now.Before(c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore.Add(early))/3)) {
		return
	}
	p, err := s.ca.server(s.pair.key, s.pair.Names(), now, ForServer)
	if err == nil {
		err = p.replace(s.cert) // the key stays, so that no other process ever sees half a pair
	}
	if err == nil {
		err = s.load()
	}
	if err != nil {
		s.log.Error("the server's certificate can't be renewed", "file", s.cert, "until", c.NotAfter, "err", err)
		return
	}
	s.log.Info("the server's certificate is renewed", "file", s.cert, "until", s.pair.Until())
}

// Until is the end of the certificate in force.
func (s *Served) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pair.Until()
}

// Get is what tls.Config.GetCertificate wants.
func (s *Served) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(time.Now())
	c := s.tls
	return &c, nil
}

// ServerTLS is how a server speaks: TLS 1.3, with a certificate that is renewed under
// way. With clients, which may be nil, everybody needs a certificate of theirs.
func ServerTLS(s *Served, clients *x509.CertPool) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: s.Get}
	if clients != nil {
		c.ClientCAs, c.ClientAuth = clients, tls.RequireAndVerifyClientCert
	}
	return c
}

// ClientTLS is how a client speaks: TLS 1.3, to servers of the given authorities
// only; nil are those of the system. own, which may be nil, is its own certificate.
func ClientTLS(trust *x509.CertPool, own *Pair) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: trust}
	if own != nil {
		c.Certificates = []tls.Certificate{own.TLS()}
	}
	return c
}

// shortest is how many digits of a fingerprint are enough: of 128 bits nobody makes a
// second key.
const shortest = 32

// ErrOtherCA: a server has not shown the CA that was expected.
var ErrOtherCA = errors.New("the server is not of the expected CA")

// Pinned is how a client speaks that knows no CA yet, but its fingerprint, or at
// least the first 32 digits of it: it believes only a server that shows this CA
// and has a certificate of it for that host. Authority reads the CA afterwards.
func Pinned(fingerprint, host string) (*tls.Config, error) {
	fingerprint = strings.ToLower(fingerprint)
	if len(fingerprint) < shortest || len(fingerprint) > 64 || strings.Trim(fingerprint, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("a fingerprint has %d to 64 digits, 0-9 and a-f", shortest)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: host,
		InsecureSkipVerify: true, // what it would verify against is only known by its fingerprint: see below
		VerifyConnection: func(cs tls.ConnectionState) error {
			ca, err := Authority(cs, fingerprint)
			if err != nil {
				return err
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca)
			_, err = cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
			return err
		},
	}, nil
}

// Authority is the CA of a fingerprint among what a server has shown.
func Authority(cs tls.ConnectionState, fingerprint string) (*x509.Certificate, error) {
	fingerprint = strings.ToLower(fingerprint)
	for _, c := range cs.PeerCertificates {
		if c.IsCA && len(fingerprint) >= shortest && strings.HasPrefix(Fingerprint(c), fingerprint) {
			return c, nil
		}
	}
	return nil, ErrOtherCA
}
