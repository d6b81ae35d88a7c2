package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/gpio"
	"barista/driver/jura"
	"barista/driver/modbus"
	"barista/driver/serial"
)

// thisSide is what detect and setup see of this computer. Tests have their own.
type thisSide struct {
	roots   serial.Roots
	chips   func() ([]gpio.Chip, error)
	board   func() string
	systemd string // the folder that is there where systemd runs
}

// hereBelow is this computer, or a tree of files that stands for it: then there
// is no chip, as the kernel shows those by calls and not by files.
func hereBelow(root string) thisSide {
	if root == "" || root == "/" {
		return thisSide{serial.ThisComputer, gpio.List, gpio.Board, "/run/systemd/system"}
	}
	return thisSide{
		serial.Below(root),
		func() ([]gpio.Chip, error) { return nil, nil },
		func() string { return "" },
		root + "/run/systemd/system",
	}
}

// detected is everything that was found.
type detected struct {
	Board string         `json:"board,omitempty"` // how the computer calls itself
	Ports []detectedPort `json:"ports"`
	Chips []detectedChip `json:"chips"`
	Notes []string       `json:"notes,omitempty"` // what could not be seen
	some  bool           // only the ports that were named
}

// detectedPort is a serial port and what hangs on it.
type detectedPort struct {
	Port     string           `json:"port"` // the name to write into a file; "" if none stays the same
	Device   string           `json:"device"`
	ByID     string           `json:"by_id,omitempty"`
	ByPath   string           `json:"by_path,omitempty"`
	Chip     string           `json:"chip,omitempty"`
	Vendor   string           `json:"vendor,omitempty"`
	Product  string           `json:"product,omitempty"`
	Serial   string           `json:"serial,omitempty"`
	Text     string           `json:"text,omitempty"` // how the adapter calls itself
	HeldBy   []detectedHolder `json:"held_by,omitempty"`
	Asked    bool             `json:"asked"`
	NotAsked string           `json:"not_asked,omitempty"` // why
	Answer   *detectedAnswer  `json:"answer,omitempty"`
	Guess    string           `json:"guess,omitempty"` // where nothing answers
	Trouble  string           `json:"trouble,omitempty"`
}

type detectedHolder struct {
	PID     int    `json:"pid"`
	Command string `json:"command,omitempty"`
}

// detectedAnswer is what a device said of itself.
type detectedAnswer struct {
	Kind   string `json:"kind"` // "jura", "modbus"
	Driver string `json:"driver,omitempty"`
	Text   string `json:"text"` // in words

	Type     string `json:"type,omitempty"` // jura: the whole answer to TY:
	Model    string `json:"model,omitempty"`
	Busy     string `json:"busy,omitempty"`
	Want     string `json:"want,omitempty"`
	Products int    `json:"products,omitempty"`

	Address int `json:"address,omitempty"` // modbus
	Relays  int `json:"relays,omitempty"`
	First   int `json:"first,omitempty"`
}

type detectedChip struct {
	Label  string         `json:"label"`
	Device string         `json:"device"`
	Lines  int            `json:"lines"`
	Header string         `json:"header,omitempty"`
	Held   []detectedLine `json:"held,omitempty"`
}

type detectedLine struct {
	Offset int    `json:"offset"`
	Name   string `json:"name,omitempty"`
	By     string `json:"by,omitempty"`
}

// Whom to ask.
const (
	probeKnown = "known" // adapters that machines and boards are wired to
	probeAll   = "all"
	probeNone  = "none"
)

func newDetect(c *cli) *cobra.Command {
	var probe, root string
	cmd := &cobra.Command{
		Use:   "detect [PORT…]",
		Short: "find machines and boards on this computer; brews and switches nothing",
		Long: `detect lists the serial ports of this computer by the names that stay the same,
with their adapter and who has them open, and its GPIO chips by label, with the
lines that somebody holds. It asks the free ports two questions that only read:
TY:, as a Jura answers it, and the relays of a Modbus board at address 1. Both at
9600 baud, the usual of both. Nothing is brewed, switched or written.

A port that somebody has open is never opened. A device that talks without being
asked is not asked anything. An LCUS relay board never answers: a CH340 without a
serial number may be one.

Opening a port raises its DTR and RTS lines, as with every program, and some
boards of other trades start anew by that. So only ports with an adapter that
machines and boards are known to have (CH340, FTDI, CP210x, PL2303) are opened,
and none whose name speaks of something else; name a port, or give --probe, to
ask others too, such as the port on a Raspberry Pi's header.

It takes three seconds, and some more where a machine answers.`,
		Example: `  sudo barista detect
  barista detect --json
  barista detect /dev/ttyAMA0
  barista detect --probe=none`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch probe {
			case probeKnown, probeAll, probeNone:
			default:
				return term.Usage("--probe is known, all or none, not %s", term.Quote(probe))
			}
			h := hereBelow(root)
			progress := func(format string, a ...any) {
				if !c.json {
					fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", a...)
				}
			}
			found, err := h.detect(cmd.Context(), args, probe, progress)
			if err != nil {
				return err
			}
			return c.show(cmd, found, found.text)
		},
	}
	f := cmd.Flags()
	f.StringVar(&probe, "probe", probeKnown, "which free ports to ask: known, all or none")
	f.Lookup("probe").NoOptDefVal = probeAll
	hiddenRoot(cmd, &root)
	return cmd
}

// hiddenRoot is a flag for tests and for whoever looks at the tree of another
// computer.
func hiddenRoot(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "root", "", "a `FOLDER` with another dev, sys, proc and run")
	_ = cmd.Flags().MarkHidden("root")
}

// detect looks around. named are the ports to look at; without any, all are.
func (h thisSide) detect(ctx context.Context, named []string, probe string, progress func(string, ...any)) (*detected, error) {
	found := &detected{Board: h.board(), Ports: []detectedPort{}, Chips: []detectedChip{}, some: len(named) > 0}
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
		chips, err := h.chips()
		if err != nil {
			found.Notes = append(found.Notes, term.OneLine(err.Error()))
		}
		for _, c := range chips {
			found.Chips = append(found.Chips, chipOf(c))
		}
	}
	found.Ports = make([]detectedPort, len(ports))
	var asking []string
	var all sync.WaitGroup
	var mu sync.Mutex // of progress
	for i, s := range ports {
		p := portOf(s)
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
				p.ask(ctx, ports[i])
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

func portOf(s serial.Seen) detectedPort {
	p := detectedPort{
		Port: s.Name, Device: s.Device, ByID: s.ByID, ByPath: s.ByPath,
		Chip: s.Adapter.Chip(), Vendor: s.Adapter.Vendor, Product: s.Adapter.Product, Serial: s.Adapter.Serial, Text: s.Text,
	}
	for _, h := range s.Holders {
		p.HeldBy = append(p.HeldBy, detectedHolder(h))
	}
	if s.Adapter.Mute() {
		p.Guess = "it may be an LCUS relay board: these have such an adapter and never answer"
	}
	return p
}

func chipOf(c gpio.Chip) detectedChip {
	d := detectedChip{Label: c.Label, Device: c.Device, Lines: len(c.Lines)}
	if c.Header() {
		d.Header = "the 40-pin header of a Raspberry Pi: GPIO0 to GPIO27"
	}
	for _, l := range c.Lines {
		if l.Used {
			d.Held = append(d.Held, detectedLine{l.Offset, l.Name, l.By})
		}
	}
	return d
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
	case probe == probeNone:
		return "it was not wanted"
	case named, probe == probeAll:
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

var errTalks = errors.New("it talks without being asked, so it was not asked anything: it is something else, or a Jura in its debug mode")

// ask opens a free port and asks what hangs on it. The order is that of the harm
// which a question could do to the wrong device, and of how surely an answer is
// one: first we listen, so that what talks by itself (a GPS, a scale) hears
// nothing; then TY:, which is noise to every board here; then the relays of a
// Modbus board, a frame with a sum that a Jura drops as half a line. An LCUS
// board has a question of its own, FF, and is not asked it: few know it, and to
// boards of another make it begins a command.
func (p *detectedPort) ask(ctx context.Context, s serial.Seen) {
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
	answers := make(chan *detectedAnswer, 1)
	err = port.Do(silent, func(l *serial.Line) error {
		if err := listen(l); err != nil {
			return err
		}
		a, err := whoIsThere(silent, l)
		answers <- a
		return err
	})
	if err == nil {
		p.Answer = <-answers
	} else if errors.Is(err, errTalks) || errors.Is(err, driver.ErrGone) {
		p.Trouble = term.OneLine(err.Error())
	}
	if p.Answer != nil {
		p.Guess = ""
		if p.Answer.Kind == "jura" {
			p.Answer.look(ctx, port)
		}
	}
	if err := port.Close(); err != nil && p.Trouble == "" {
		p.Trouble = term.OneLine(err.Error())
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

// whoIsThere puts the questions; the answer is nil where nothing answers.
func whoIsThere(ctx context.Context, l *serial.Line) (*detectedAnswer, error) {
	typ, err := jura.Identify(ctx, l)
	if err == nil {
		return juraAnswer(typ), nil
	}
	if errors.Is(err, driver.ErrGone) {
		return nil, err
	}
	if board, err := modbus.Identify(l); err == nil {
		return modbusAnswer(board), nil
	} else if errors.Is(err, driver.ErrGone) {
		return nil, err
	}
	return nil, nil
}

func juraAnswer(typ string) *detectedAnswer {
	a := &detectedAnswer{Kind: "jura", Type: typ, Text: "a Jura of a model that is not known here: it can't be ordered from"}
	m, known := jura.ModelOf(typ)
	switch {
	case known && m.ReadOnly != "":
		a.Text = fmt.Sprintf("a Jura %v; it can only be read: %s", m, m.ReadOnly)
	case known:
		a.Model, a.Driver = m.Type, "jura"
		a.Text = fmt.Sprintf("a Jura %v; it can be ordered from", m)
	}
	return a
}

// look reads what a Jura tells beyond its type. What fails here is no trouble:
// we know already what it is.
func (a *detectedAnswer) look(ctx context.Context, port *serial.Port) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if g, err := jura.Look(ctx, port); err == nil {
		a.Busy, a.Want, a.Products = g.Busy, g.Want, max(g.Products, 0)
	}
}

func modbusAnswer(s modbus.Sighting) *detectedAnswer {
	a := &detectedAnswer{Kind: "modbus", Address: s.Address}
	if s.Refused != 0 {
		a.Text = fmt.Sprintf("a Modbus device at address %d that has no relays (%v)", s.Address, s.Refused)
		return a
	}
	a.Driver, a.Relays, a.First = "modbus", s.Relays, s.First
	a.Text = fmt.Sprintf("a Modbus relay board at address %d; it answers for %s, counted from %d", s.Address, numbered(s.Relays, "relay"), s.First)
	return a
}

func numbered(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// result is what came of asking, in words.
func (p *detectedPort) result() string {
	switch {
	case p.Answer != nil:
		return p.Answer.Text
	case p.Trouble != "":
		return p.Trouble
	case p.NotAsked != "":
		return "not asked: " + p.NotAsked
	}
	return "nothing answers"
}

func (p *detectedPort) adapter() string {
	if p.Vendor == "" {
		return "no USB adapter"
	}
	name := p.Chip
	if name == "" {
		name = "USB adapter"
	}
	s := name + " (" + p.Vendor + ":" + p.Product
	if p.Serial != "" {
		s += ", serial number " + term.Safe(p.Serial)
	} else {
		s += ", without a serial number"
	}
	s += ")"
	if p.Text != "" {
		s += " " + term.Quote(p.Text)
	}
	return s
}

// text is the answer for people.
func (d *detected) text(w io.Writer) {
	for _, p := range d.Ports {
		name := p.Port
		if name == "" {
			name = p.Device
		}
		fmt.Fprintln(w, term.Safe(name))
		line := "    " + p.adapter()
		if p.Device != name {
			line += ", today " + term.Safe(p.Device)
		}
		fmt.Fprintln(w, line)
		fmt.Fprintf(w, "    %s\n", term.Safe(p.result()))
		if a := p.Answer; a != nil {
			a.more(w)
		} else {
			if p.Asked && p.Trouble == "" {
				fmt.Fprintln(w, "    is it switched on, at 9600 baud, and are its two data wires the right way round?")
			}
			if p.Guess != "" {
				fmt.Fprintf(w, "    %s\n", p.Guess)
			}
		}
	}
	if len(d.Ports) == 0 {
		fmt.Fprintln(w, "no serial port")
	}
	for _, c := range d.Chips {
		fmt.Fprintf(w, "GPIO chip %s: %s", term.Safe(c.Label), numbered(c.Lines, "line"))
		if c.Header != "" {
			fmt.Fprintf(w, "; %s", c.Header)
		}
		fmt.Fprintln(w)
		for _, l := range c.Held {
			name, by := l.Name, l.By
			if name == "" {
				name = fmt.Sprintf("line %d", l.Offset)
			}
			if by == "" {
				by = "somebody who gave no name"
			}
			fmt.Fprintf(w, "    %s is held by %s\n", term.Safe(name), term.Safe(by))
		}
	}
	if len(d.Chips) == 0 && !d.some {
		fmt.Fprintln(w, "no GPIO chip")
	}
	if d.Board != "" {
		fmt.Fprintf(w, "this computer: %s\n", term.Safe(d.Board))
	}
	for _, n := range d.Notes {
		fmt.Fprintf(w, "not seen: %s\n", term.Safe(n))
	}
}

func (a *detectedAnswer) more(w io.Writer) {
	if a.Type != "" {
		fmt.Fprintf(w, "    it answers %s", term.Quote(a.Type))
		if a.Products > 0 {
			fmt.Fprintf(w, " and has made %s", numbered(a.Products, "product"))
		}
		fmt.Fprintln(w)
	}
	if a.Busy != "" {
		fmt.Fprintf(w, "    it is at work: %s\n", a.Busy)
	}
	if a.Want != "" {
		fmt.Fprintf(w, "    it wants somebody to %s\n", a.Want)
	}
	if a.Driver != "" {
		fmt.Fprintf(w, "    barista setup makes a machine of it, driver: %s\n", a.Driver)
	}
}
