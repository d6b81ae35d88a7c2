package detect

import (
	"maps"
	"path/filepath"
	"slices"

	"barista/cmd/barista/term"
	"barista/configs/kinds"
)

// Driver is the kind of machine that was found, if it was one only.
func (f *Found) Driver() string {
	names := map[string]bool{}
	for _, p := range f.Ports {
		if p.Answer != nil && p.Answer.Driver != "" {
			names[p.Answer.Driver] = true
		}
	}
	if len(names) != 1 {
		return ""
	}
	return slices.Collect(maps.Keys(names))[0]
}

// Chip is the label of the header's chip, if there is one.
func (f *Found) Chip() string {
	for _, c := range f.Chips {
		if c.Header != "" {
			return c.Label
		}
	}
	if len(f.Chips) == 1 {
		return f.Chips[0].Label
	}
	return ""
}

// Named are those that can be named, with the one that answered as this kind.
func (f *Found) Named(kind string) (list []term.Option, suggest string) {
	right := 0
	for _, p := range f.Ports {
		if p.Port == "" {
			continue
		}
		text := p.adapter() + ": " + p.result()
		if p.Answer == nil && p.Guess != "" {
			text += "; " + p.Guess
		}
		list = append(list, term.Option{Value: p.Port, Text: text})
		if p.Answer != nil && p.Answer.Driver == kind {
			suggest = p.Port
			right++
		}
	}
	if right != 1 {
		suggest = ""
	}
	return list, suggest
}

// At is what answered on a port; nil if nothing did.
func (f *Found) At(port string) *kinds.Answer {
	for _, p := range f.Ports {
		if port != "" && filepath.Clean(p.Port) == filepath.Clean(port) {
			return p.Answer
		}
	}
	return nil
}
