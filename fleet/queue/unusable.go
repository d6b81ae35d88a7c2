package queue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Unusable is why a broker that answers is of no use to this connection: its class,
// which errors.Is finds, and what a person does about it.
type Unusable struct {
	Class error
	At    string // of the broker, without secrets
	Why   string // what was heard; may be empty
	Fix   string
}

// What is, in one line and without what to do.
func (u *Unusable) What() string {
	s := u.Class.Error()
	if u.At != "" {
		s = u.At + ": " + s
	}
	if u.Why != "" {
		s += " (" + u.Why + ")"
	}
	return s
}

func (u *Unusable) Error() string { return u.What() + "; " + u.Fix }
func (u *Unusable) Unwrap() error { return u.Class }

// The classes of Unusable.
var (
	ErrRefused     = errors.New("the broker refuses this key")
	ErrWantsKey    = errors.New("the broker wants a key, and none was given")
	ErrKeyless     = errors.New("the broker knows no keys, and one was given")
	ErrTooMany     = errors.New("this key has as many connections as it may")
	ErrForeign     = errors.New("the broker's certificate is of an authority that is not known here")
	ErrExpired     = errors.New("the broker's certificate is not good at this time")
	ErrOtherName   = errors.New("the broker's certificate is of another name")
	ErrCertificate = errors.New("the broker's certificate can't be used")
	ErrOldTLS      = errors.New("the broker speaks no TLS 1.3")
	ErrNoTLS       = errors.New("the broker speaks no TLS, and it is wanted")
	ErrOwnPair     = errors.New("the broker refuses this side's certificate, or wants one")
	ErrNoJetStream = errors.New("the broker has no JetStream here")
	ErrOldServer   = errors.New("nats-server 2.11 or later is needed")
	ErrMayNot      = errors.New("this key may not do that at the broker")
	ErrNoSpace     = errors.New("the broker has too little space")
)

// How a person gives what a connection needs: to a verb, and in a service's file.
const (
	giveKey  = "--key FILE, or nats: {key: FILE}"
	giveCA   = "--ca FILE, or nats: {ca: FILE}"
	givePair = "--cert CERTIFICATE,KEY, or nats: {cert: [CERTIFICATE, KEY]}"
)

// unusable finds the class of what a connection ended with; nil where nobody answers.
func (cfg *Config) unusable(err error) *Unusable {
	at := Shown(cfg.Servers)
	fail := func(class error, why, fix string) *Unusable { return &Unusable{class, at, why, fix} }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return fail(ErrKeyless, "", "leave the key out, or give the broker keys")
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAccountAuthExpired):
		if cfg.Key == nil && (cfg.TLS == nil || len(cfg.TLS.Certificates) == 0) {
			return fail(ErrWantsKey, "", "name yours: "+giveKey)
		}
		return fail(ErrRefused, cfg.who(), "it was never let in there, or was revoked: have an operator invite it (barista key invite) and enroll here (barista enroll), or name another: "+giveKey)
	case errors.Is(err, nats.ErrMaxAccountConnectionsExceeded), errors.Is(err, nats.ErrMaxConnectionsExceeded):
		return fail(ErrTooMany, cfg.who(), "is it used elsewhere too? stop that, each has a key of its own")
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fail(ErrNoTLS, "", "is the address right? a key is shown to nobody in the clear: give the broker a certificate, or leave tls:// and the CA out on this computer")
	case errors.Is(err, nats.ErrTLS), isAlert(err):
		if late, is := errors.AsType[net.Error](err); is && late.Timeout() {
			return nil // a slow broker; nothing is known of its certificate
		}
		return cfg.badTLS(err, fail)
	}
	return nil
}

// isAlert: the other side's word on TLS. With TLS 1.3 a client's certificate is refused
// after the handshake; whoever then reads before he writes hears the alert itself, which
// the client does not call an error of TLS.
func isAlert(err error) bool {
	told, is := errors.AsType[*net.OpError](err)
	return is && told.Op == "remote error"
}

// who is the key, or the certificate, by which this side is known.
func (cfg *Config) who() string {
	switch {
	case cfg.Key != nil:
		return cfg.Key.Public()
	case cfg.TLS != nil && len(cfg.TLS.Certificates) > 0 && cfg.TLS.Certificates[0].Leaf != nil:
		return cfg.TLS.Certificates[0].Leaf.Subject.CommonName
	}
	return ""
}

// badTLS is unusable of a connection whose TLS did not come about.
func (cfg *Config) badTLS(err error, fail func(class error, why, fix string) *Unusable) *Unusable {
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	wrong, isOther := errors.AsType[x509.HostnameError](err)
	_, isForeign := errors.AsType[x509.UnknownAuthorityError](err)
	_, isVerify := errors.AsType[*tls.CertificateVerificationError](err)
	switch text := err.Error(); {
	case isOther:
		return fail(ErrOtherName, strings.Join(namesOf(wrong.Certificate), ", "), "connect by one of the names in it, or have one made for this name: barista key cert")
	case isInvalid && invalid.Reason == x509.Expired:
		return fail(ErrExpired, fmt.Sprintf("good from %s to %s, and here it is %s", day8(invalid.Cert.NotBefore), day8(invalid.Cert.NotAfter), day8(time.Now())),
			"have it renewed (barista key cert), unless the clock of this computer is wrong")
	case isForeign && cfg.TLS == nil:
		return fail(ErrForeign, "", "the broker wants TLS: name the shop's CA: "+giveCA)
	case isForeign, isVerify && strings.Contains(text, "signed by unknown"):
		return fail(ErrForeign, "", "name the CA of this shop: "+giveCA+"; if that is what you gave, this is not your shop")
	case isVerify:
		return fail(ErrCertificate, oneLine(err), "have it made anew: barista key cert")
	// The library has no value for what the other side says: its alerts are sentences
	// of the standard library, which RFC 8446 numbers.
	case strings.Contains(text, "protocol version"):
		return fail(ErrOldTLS, "", "update the server, or allow it TLS 1.3")
	case strings.Contains(text, "certificate required"), strings.Contains(text, "bad certificate"), strings.Contains(text, "unknown certificate"),
		strings.Contains(text, "expired certificate"), strings.Contains(text, "revoked certificate"), strings.Contains(text, "connection closed by remote after TLS handshake"):
		return fail(ErrOwnPair, cfg.who(), "name a certificate that its CA has made and that is not expired: "+givePair)
	}
	return fail(ErrCertificate, oneLine(err), "is the address right, and the CA that of this shop?")
}

func namesOf(c *x509.Certificate) []string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func day8(t time.Time) string { return t.Format(time.DateOnly) }

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// leastMinor: deletes by the server's own clock, on which absence is seen, came
// with 2.11.
const leastMinor = 11

// oldServer says that a server is too old to be the shop's broker. One whose version
// can't be read is taken: whoever has built it knows.
func (cfg *Config) oldServer(version string) *Unusable {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 3 {
		return nil
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || major > 2 || major == 2 && minor >= leastMinor {
		return nil
	}
	return &Unusable{ErrOldServer, Shown(cfg.Servers), "it is " + version, "update the server"}
}

// usable says whether this connection can make and keep the shop's streams; it ends
// at once where the server refuses.
func (c *Conn) usable(ctx context.Context) error {
	_, err := c.js.AccountInfo(ctx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		where := "this key's account"
		if c.cfg.Domain != "" {
			where = "domain " + c.cfg.Domain
		}
		return &Unusable{ErrNoJetStream, Shown(c.cfg.Servers), "asked for " + where, "turn it on in the server's configuration (jetstream: {store_dir: …}) and for the shop's account (jetstream: enabled)"}
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return nil // what else is wrong the streams say
}

// refusedAs is a request that the server has refused while it was under way, so that
// nobody waits for an answer that can't come.
func (c *Conn) refusedAs(ctx context.Context) (context.Context, func(error) error) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	c.denied = cancel
	c.mu.Unlock()
	return ctx, func(err error) error {
		c.mu.Lock()
		c.denied = nil
		c.mu.Unlock()
		if u, is := errors.AsType[*Unusable](context.Cause(ctx)); is && err != nil {
			err = u
		}
		cancel(nil)
		return err
	}
}

// onDenied is what the server says of what this key may not do.
func (c *Conn) onDenied(err error) {
	c.mu.Lock()
	setup := c.denied
	c.mu.Unlock()
	fix := "give this key the role that it needs, or use one that has it: " + giveKey
	if setup != nil {
		fix = "the shop's streams are made by the admin's key, once (barista broker setup), or by the shop with it: " + giveKey
	}
	u := &Unusable{ErrMayNot, Shown(c.cfg.Servers), what(err), fix}
	if setup != nil {
		setup(u)
		return
	}
	if c.cfg.Denied != nil {
		c.cfg.Denied(u)
		return
	}
	c.log.Error("the broker says: "+what(err), "conn", c.cfg.Name) // in the text, else a flood of one hides another
}

// what is a sentence of the server without the client's name before it.
func what(err error) string {
	s := oneLine(err)
	for _, p := range []string{"nats: ", "permissions violation: "} {
		s = strings.TrimPrefix(s, p)
	}
	return s
}

// noSpace is a stream for which the broker has no room.
func (c *Conn) noSpace(want jetstream.StreamConfig) *Unusable {
	all := show("MaxBytes", StoreNeeded(c.cfg.OrdersPerDay))
	needs := fmt.Sprintf("%s needs %s, and all streams %s", want.Name, show("MaxBytes", want.MaxBytes), all)
	if n := want.Replicas; n > 1 {
		needs = fmt.Sprintf("%s on each of %d servers", needs, n)
	}
	return &Unusable{ErrNoSpace, Shown(c.cfg.Servers), needs, "raise what it may hold (max_file_store, or the limit of the shop's account), or lower orders_per_day"}
}
