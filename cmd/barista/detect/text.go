package detect

import (
	"fmt"
	"io"

	"barista/cmd/barista/term"
)

func numbered(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// result is what came of asking, in words.
func (p *Port) result() string {
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

func (p *Port) adapter() string {
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

// Text is the answer for people.
func (f *Found) Text(w io.Writer) {
	for _, p := range f.Ports {
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
			for _, line := range a.More {
				fmt.Fprintf(w, "    %s\n", term.Safe(line))
			}
			if a.Driver != "" {
				fmt.Fprintf(w, "    barista setup makes a machine of it, driver: %s\n", a.Driver)
			}
		} else {
			if p.Asked && p.Trouble == "" {
				fmt.Fprintln(w, "    is it switched on, at 9600 baud, and are its two data wires the right way round?")
			}
			if p.Guess != "" {
				fmt.Fprintf(w, "    %s\n", p.Guess)
			}
		}
	}
	if len(f.Ports) == 0 {
		fmt.Fprintln(w, "no serial port")
	}
	for _, c := range f.Chips {
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
	if len(f.Chips) == 0 && !f.some {
		fmt.Fprintln(w, "no GPIO chip")
	}
	if f.Board != "" {
		fmt.Fprintf(w, "this computer: %s\n", term.Safe(f.Board))
	}
	for _, n := range f.Notes {
		fmt.Fprintf(w, "not seen: %s\n", term.Safe(n))
	}
}
