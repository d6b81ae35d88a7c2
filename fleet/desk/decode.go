package desk

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"barista/fleet"
)

// decode reads a request: one object, no key twice, nothing behind it, each value
// of its kind. What it lets through may become part of a subject or of a record.
// Unknown fields are dropped: a machine may be newer than its shop.
func decode(b []byte) (fleet.Ask, error) {
	var a fleet.Ask
	if len(b) > fleet.MaxAsk {
		return a, fmt.Errorf("%d bytes, at most %d are read", len(b), fleet.MaxAsk)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return fleet.Ask{}, err
	}
	if err := check(a); err != nil {
		return fleet.Ask{Nonce: a.Nonce}, err // so that it knows whose answer it is
	}
	return a, nil
}

// said is a word of presence as it came and as it was read.
type said struct {
	body []byte
	ask  fleet.Ask
}

// mostSaid bounds the words that are kept: names come from outside.
const mostSaid = 4096

// hear reads a request of a machine. One that idles says the same every few seconds,
// byte for byte, and what the bytes say is known then. Nobody may change what it returns.
func (d *Desk) hear(machine, verb string, body []byte) (fleet.Ask, error) {
	if verb != fleet.DeskPresence {
		return decode(body)
	}
	d.mu.Lock()
	last := d.said[machine]
	d.mu.Unlock()
	if len(body) > 0 && bytes.Equal(body, last.body) {
		return last.ask, nil
	}
	a, err := decode(body)
	if err == nil && a.Owner.Machine == machine {
		d.mu.Lock()
		if len(d.said) >= mostSaid {
			clear(d.said)
		}
		d.said[machine] = said{body, a}
		d.mu.Unlock()
	}
	return a, err
}

// check refuses what no machine of ours would say.
func check(a fleet.Ask) error {
	switch {
	case a.Nonce == "" || !fleet.IsToken(a.Owner.Machine) || !plain(a.Nonce) || !plain(a.Owner.Journal) || !plain(a.Owner.Boot):
		return errors.New("who asks is not said")
	case a.Owner.Nonce != "" && !fleet.IsNonce(a.Owner.Nonce):
		return errors.New("that is no nonce of a process")
	case !plain(a.Mark.Era) || !plain(a.Mark.Rec):
		return errors.New("a mark that is none")
	case a.Order != "" && !isOrder(a.Order):
		return errors.New("the order has no id")
	}
	return a.Check()
}

// plain reports whether s may name a process, a journal or a boot.
func plain(s string) bool { return len(s) <= 64 && fleet.Plain(s) == s }

// isOrder reports whether s is an order's id as the shop writes it.
func isOrder(s string) bool {
	id, err := fleet.ParseID(s)
	return err == nil && id == s
}
