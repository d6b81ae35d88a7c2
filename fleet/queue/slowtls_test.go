package queue

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestSlowTLS: a handshake that takes too long is a broker that does not answer, and no
// word about its certificate.
func TestSlowTLS(t *testing.T) {
	late := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	if u := (&Config{}).unusable(fmt.Errorf("%w: %w", nats.ErrTLS, late)); u != nil {
		t.Errorf("a slow broker: %v", u)
	}
	if u := (&Config{}).unusable(fmt.Errorf("%w: %w", nats.ErrTLS, errors.New("garbage"))); u == nil || u.Class != ErrCertificate {
		t.Errorf("a broken handshake: %v", u)
	}
}

// TestAlert: the alert by which a server refuses a certificate after the handshake.
func TestAlert(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}
	if u := (&Config{}).unusable(alert); u == nil || u.Class != ErrOwnPair {
		t.Errorf("refused for its certificate: %v", u)
	}
	if u := (&Config{}).unusable(&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}); u != nil {
		t.Errorf("a slow broker: %v", u)
	}
}
