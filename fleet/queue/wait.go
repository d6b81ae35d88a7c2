package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// startWait is how long a start waits for a broker that is there and can't do yet what
// is asked: servers of a cluster that start together have no leader for some seconds,
// and when one dies what it led has none for up to nine.
const startWait = time.Minute

// patiently does something until the broker is able to, and says what it waits for.
func (c *Conn) patiently(ctx context.Context, do func() error) error {
	said := ""
	for began := time.Now(); ; {
		err := do()
		switch {
		case err == nil && said != "":
			c.log.Info("the broker is ready", "after", time.Since(began).Round(time.Second))
			return nil
		case err == nil || !passing(err):
			return err
		case time.Since(began) > startWait:
			return fmt.Errorf("the broker was not ready within %v: %w", startWait, err)
		}
		if why := strings.Join(strings.Fields(err.Error()), " "); why != said {
			said = why
			c.log.Warn("the broker is not ready yet: waiting", "why", why)
		}
		if !fleet.Pause(ctx, time.Second) {
			return err
		}
	}
}

// final is an error that holds one which waiting does not heal.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// passing reports whether an error may be gone in a while: nobody leads yet, or the
// servers that keep a stream are not back.
func passing(err error) bool {
	if _, is := errors.AsType[final](err); is || errors.Is(err, errOtherBook) {
		return false
	}
	return errors.Is(err, fleet.ErrNoAnswer) || noPeers(err)
}

// together joins errors; it does not pass if one of them does not.
func together(errs ...error) error {
	for _, err := range errs {
		if err != nil && !passing(err) {
			return final{errors.Join(errs...)}
		}
	}
	return errors.Join(errs...)
}

// later reports whether a code of the broker says only: not now.
func later(code jetstream.ErrorCode) bool {
	return code == codeNotNow || code == codeStreamAway || code == codeConsumerAway
}

// noPeers reports whether there are not as many servers as are to keep a stream.
func noPeers(err error) bool {
	return apiCode(err) == codeNoPeers && !strings.Contains(err.Error(), noStorage)
}

// noStorage is how a cluster says why it found no server for a stream; its code is the
// same for all reasons.
const noStorage = "insufficient storage"
