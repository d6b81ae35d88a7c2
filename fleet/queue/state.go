package queue

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/words"
)

const (
	// fills is how full a stream is when a person should hear of it, in percent.
	fills = 80
	// reserved is the part of the book that only records of orders use that are
	// there, refusals, which roll, and balances: 200 orders may be open, each still
	// writes a few, and old records go only behind a balance.
	reserved = 8
	// roomFor is how long a look at the book's room holds.
	roomFor = 5 * time.Second
)

// state is what the looks at the broker's streams have found.
type state struct {
	mu    sync.Mutex      // guards what follows
	book  time.Time       // when the book was made that this process knows; zero: none yet
	rooms map[string]room // of the streams that take no more when they are full
	wrong string          // what the last look could not put right

	replicas int    // servers that keep each stream; 0: not known yet
	cluster  string // "": one server
}

// room is how full a stream is.
type room struct {
	used, most int64
	at         time.Time
}

func (r room) percent() int { return int(100 * r.used / r.most) }

// full reports whether only the reserve is left.
func (r room) full() bool { return r.used > r.most-r.most/reserved }

// sameBook notes which book is there, and reports whether it is the one from before.
func (s *state) sameBook(made time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.book.IsZero() {
		s.book = made
	}
	return s.book.Equal(made)
}

// filled notes how full a stream is. One that discards by itself is never full.
func (s *state) filled(info *jetstream.StreamInfo) room {
	r := room{int64(info.State.Bytes), info.Config.MaxBytes, time.Now()}
	if r.most <= 0 || info.Config.Discard != jetstream.DiscardNew {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms == nil {
		s.rooms = map[string]room{}
	}
	s.rooms[info.Config.Name] = r
	return r
}

// bookRoom is how full the book was at the last look, which may be long ago.
func (s *state) bookRoom() room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[fleet.StreamBook]
}

// looked notes how a look came out.
func (s *state) looked(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = ""
	if err != nil {
		s.wrong = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}

// Troubles is what is wrong with the broker's streams, as the last look of Keep saw
// it, and what KeepReady finds in the way of an order.
func (c *Conn) Troubles() (out []fleet.Trouble) {
	if why := c.ready.get(); why != nil {
		out = append(out, *why)
	}
	s := &c.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong != "" {
		out = append(out, trouble("", fleet.CodeStreams, "", s.wrong))
	}
	for _, name := range slices.Sorted(maps.Keys(s.rooms)) {
		r := s.rooms[name]
		how := fmt.Sprintf("%s %d %% of %s", name, r.percent(), show("MaxBytes", r.most))
		switch {
		case name == fleet.StreamBook && r.full():
			t := trouble(name, fleet.CodeStoreFull, how, "")
			t.Closed = true
			out = append(out, t)
		case r.percent() >= fills:
			out = append(out, trouble(name, fleet.CodeStoreFills, how, ""))
		}
	}
	return out
}

func trouble(about, code, detail, quote string) fleet.Trouble {
	return fleet.Trouble{About: about, Reason: fleet.Reason{Code: code, Detail: detail, Quote: quote, Text: words.Line("en", code, detail, quote)}}
}
