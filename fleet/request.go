package fleet

import (
	"context"
	"errors"
	"strings"
	"unicode"
)

// Server answers requests on a subject until it is closed; see Serve.
type Server interface {
	// Serve answers requests on the subject, one goroutine per subject, until
	// ctx ends. Requests whose reply subject is no inbox are dropped. With
	// shared, several servers share the load; else each hears every request.
	Serve(ctx context.Context, subject string, shared bool, answer func(ctx context.Context, subject string, body []byte) []byte) error
}

// Requester asks another role.
type Requester interface {
	// Request sends one request and returns the answer; ErrNoAnswer if none
	// came, ErrNobody if nobody listens.
	Request(ctx context.Context, subject string, body []byte) ([]byte, error)
}

// ErrNobody: nobody listens on the subject; nothing happened.
var ErrNobody = errors.New("nobody answers there")

// Saying is an error with words of its own that means another one: what another
// role answered stays as it was said, and errors.Is knows it.
func Saying(words string, means error) error { return &saying{words, means} }

type saying struct {
	words string
	means error
}

func (e *saying) Error() string { return e.words }
func (e *saying) Unwrap() error { return e.means }

// Plain makes one short line of a text that people typed: at most 200
// characters, and none that acts.
func Plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 800)], ""))
	r := []rune(strings.Join(strings.Fields(s), " "))
	return string(r[:min(len(r), 200)])
}
