package queue

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestEndOfPull: what the broker says to a reader beside messages.
func TestEndOfPull(t *testing.T) {
	for _, c := range []struct {
		what         string
		head         nats.Header
		over, broken bool
	}{
		{"nothing is there", nats.Header{"Status": {"100"}, "Nats-Last-Consumer": {"7"}}, false, false},
		{"a message is under way to somebody else", nats.Header{"Status": {"100"}, "Nats-Last-Consumer": {"6"}}, false, false},
		{"a broker that does not count", nats.Header{"Status": {"100"}}, false, false},
		{"one was lost", nats.Header{"Status": {"100"}, "Nats-Last-Consumer": {"8"}}, false, true},
		{"its time is over", nats.Header{"Status": {"408"}, "Description": {"Request Timeout"}}, true, false},
		{"nobody is there", nats.Header{"Status": {"503"}}, true, true},
		{"it was removed", nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}, false, true},
		{"no word of the broker's", nil, false, true},
	} {
		over, err := endOfPull(&nats.Msg{Header: c.head}, 7)
		if over != c.over || (err != nil) != c.broken || (over && err != nil) != errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s: over %t, %v", c.what, over, err)
		}
	}
}
