// Package detect looks for machines and boards on this computer: its serial ports,
// what answers on them, its chips of lines. It asks each kind's own question and
// knows no kind; it brews and switches nothing, and must not open a port that
// somebody has open.
package detect

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"barista/cmd/barista/term"
	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/serial"
)

// Here is what detect and setup see of this computer.
type Here struct {
	Systemd string // the folder that is there where systemd runs
	kinds   kinds.Table
	roots   serial.Roots
	pins    []kinds.Pins
}

// Below is this computer, or a tree of files that stands for it: then there is no
// chip, as the kernel shows those by calls and not by files.
func Below(root string, table kinds.Table) Here {
	h := Here{kinds: table}
	if root != "" && root != "/" {
		h.roots, h.Systemd = serial.Below(root), root+"/run/systemd/system"
		return h
	}
	h.roots, h.Systemd = serial.ThisComputer, "/run/systemd/system"
	for _, k := range table {
		if k.Pins != nil {
			h.pins = append(h.pins, *k.Pins)
		}
	}
	return h
}

// Found is everything that was found.
type Found struct {
	Board string       `json:"board,omitempty"` // how the computer calls itself
	Ports []Port       `json:"ports"`
	Chips []kinds.Chip `json:"chips"`
	Notes []string     `json:"notes,omitempty"` // what could not be seen
	some  bool         // only the ports that were named
}

// Port is a serial port and what hangs on it.
type Port struct {
	Port     string        `json:"port"` // the name to write into a file; "" if none stays the same
	Device   string        `json:"device"`
	ByID     string        `json:"by_id,omitempty"`
	ByPath   string        `json:"by_path,omitempty"`
	Chip     string        `json:"chip,omitempty"`
	Vendor   string        `json:"vendor,omitempty"`
	Product  string        `json:"product,omitempty"`
	Serial   string        `json:"serial,omitempty"`
	Text     string        `json:"text,omitempty"` // how the adapter calls itself
	HeldBy   []Holder      `json:"held_by,omitempty"`
	Asked    bool          `json:"asked"`
	NotAsked string        `json:"not_asked,omitempty"` // why
	Answer   *kinds.Answer `json:"answer,omitempty"`
	Guess    string        `json:"guess,omitempty"` // where nothing answers
	Trouble  string        `json:"trouble,omitempty"`
}

// Holder is a program that has a port open.
type Holder struct {
	PID     int    `json:"pid"`
	Command string `json:"command,omitempty"`
}

// Whom to ask.
const (
	Known = "known" // adapters that machines and boards are wired to
	All   = "all"
	None  = "none"
)

// Look looks around. named are the ports to look at; without any, all are.
func (h Here) Look(ctx context.Context, named []string, probe string, progress func(string, ...any)) (*Found, error) {
	found := &Found{Ports: []Port{}, Chips: []kinds.Chip{}, some: len(named) > 0}
	for _, p := range h.pins {
		found.Board = cmp.Or(found.Board, p.Board())
	}
	var ports []serial.Seen
	for _, path := range named {
		s, err := h.roots.Port(path)
		if err != nil {
			return nil, term.Fail(term.ExitNotFound, "barista detect lists those that are here", "%w", err)
		}
		ports = append(ports, s)
	}
	if len(named) == 0 {
		var err error
		if ports, err = h.roots.Ports(); err != nil {
			found.Notes = append(found.Notes, term.OneLine(err.Error()))
		}
		for _, p := range h.pins {
			chips, err := p.Chips()
			if err != nil {
				found.Notes = append(found.Notes, term.OneLine(err.Error()))
			}
			found.Chips = append(found.Chips, chips...)
		}
	}
	found.Ports = make([]Port, len(ports))
	var asking []string
	var all sync.WaitGroup
	var mu sync.Mutex // of progress
	for i, s := range ports {
		p := h.portOf(s)
		p.NotAsked = whyNot(s, probe, len(named) > 0)
		if p.NotAsked == "" {
			p.Asked = true
			asking = append(asking, term.Safe(s.Name))
		}
		found.Ports[i] = p
	}
	if len(asking) > 0 {
		progress("asking %s: at most 3 s where nothing answers", strings.Join(asking, ", "))
	}
	for i := range found.Ports {
		if p := &found.Ports[i]; p.Asked {
			all.Go(func() {
				h.ask(ctx, p, ports[i])
				mu.Lock()
				defer mu.Unlock()
				progress("%s: %s", term.Safe(p.Port), term.Safe(p.result()))
			})
		}
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return nil, term.Fail(term.ExitFailed, "", "interrupted; nothing was changed")
	}
	return found, nil
}

func (h Here) portOf(s serial.Seen) Port {
	p := Port{
		Port: s.Name, Device: s.Device, ByID: s.ByID, ByPath: s.ByPath,
		Chip: s.Adapter.Chip(), Vendor: s.Adapter.Vendor, Product: s.Adapter.Product, Serial: s.Adapter.Serial, Text: s.Text,
	}
	for _, by := range s.Holders {
		p.HeldBy = append(p.HeldBy, Holder(by))
	}
	for _, k := range h.kinds {
		if k.Sight != nil && k.Sight.Mute != nil && p.Guess == "" {
			p.Guess = k.Sight.Mute(s.Adapter)
		}
	}
	return p
}

// whyNot says why a port is not asked; "" if it is.
func whyNot(s serial.Seen, probe string, named bool) string {
	stranger := s.Stranger()
	switch {
	case len(s.Holders) > 0:
		var who []string
		for _, h := range s.Holders {
			who = append(who, h.String())
		}
		return "it is open in " + strings.Join(who, ", ")
	case s.Name == "":
		return "it has no name that stays the same: udev makes those below /dev/serial"
	case probe == None:
		return "it was not wanted"
	case named, probe == All:
		return ""
	case stranger != "":
		return stranger + "; name the port, or give --probe, to ask it all the same"
	case s.Unsure:
		return "this user can't see who has it open: use sudo, or name the port"
	}
	return ""
}

const (
	silentWithin = 3 * time.Second        // for a port on which nothing answers
	lookWithin   = 8 * time.Second        // for what an appliance tells beyond its type
	listenFor    = 250 * time.Millisecond // before anything is said
	talks        = 8                      // so many bytes are no mere noise of opening
)

var errTalks = errors.New("it talks without being asked, so it was not asked anything: it is something else")

// ask opens a free port and asks what hangs on it. First we listen, so that what
// talks by itself (a GPS, a scale) hears nothing; then each kind asks in its turn.
func (h Here) ask(ctx context.Context, p *Port, s serial.Seen) {
	port, err := serial.Open(serial.Config{Device: s.Name})
	if err != nil {
		p.Trouble = term.OneLine(err.Error())
		if errors.Is(err, driver.ErrBusyLine) { // somebody was faster
			p.Asked, p.NotAsked, p.Trouble = false, "somebody else has it open", ""
		}
		return
	}
	silent, cancel := context.WithTimeout(ctx, silentWithin)
	defer cancel()
	// A channel, as Do comes back without its work when the time is over.
	answers := make(chan *sighted, 1)
	err = port.Do(silent, func(l *serial.Line) error {
		if err := listen(l); err != nil {
			return err
		}
		a, err := h.whoIsThere(silent, l)
		answers <- a
		return err
	})
	if errors.Is(err, errTalks) || errors.Is(err, driver.ErrGone) {
		p.Trouble = term.OneLine(err.Error())
	}
	for _, k := range h.kinds {
		if k.Sight != nil && k.Sight.Talks != "" && errors.Is(err, errTalks) {
			p.Trouble += ", or " + k.Sight.Talks
		}
	}
	if err == nil {
		p.hear(ctx, port, <-answers)
	}
	if err := port.Close(); err != nil && p.Trouble == "" {
		p.Trouble = term.OneLine(err.Error())
	}
}

// hear takes an answer and has its kind look further.
func (p *Port) hear(ctx context.Context, port *serial.Port, s *sighted) {
	if s == nil {
		return
	}
	p.Answer, p.Guess = &s.answer, ""
	if s.by.Look != nil {
		ctx, cancel := context.WithTimeout(ctx, lookWithin)
		defer cancel()
		s.by.Look(ctx, port, p.Answer)
	}
}

func listen(l *serial.Line) error {
	n := 0
	for until := time.Now().Add(listenFor); ; {
		b, err := l.Next(until)
		switch {
		case errors.Is(err, serial.ErrSilence):
			return nil
		case err != nil:
			return err
		}
		if n += len(b); n >= talks {
			return errTalks
		}
	}
}

// sighted is an answer, and the kind that asked.
type sighted struct {
	by     *kinds.Sight
	answer kinds.Answer
}

// whoIsThere puts the questions; the answer is nil where nothing answers.
func (h Here) whoIsThere(ctx context.Context, l *serial.Line) (*sighted, error) {
	for _, by := range h.kinds.Asking() {
		a, err := by.Ask(ctx, l)
		switch {
		case err == nil:
			return &sighted{by, a}, nil
		case errors.Is(err, driver.ErrGone):
			return nil, err
		}
	}
	return nil, nil
}
