package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Wear counts what a machine has done since it was cared for last. It is a reminder: a
// power cut may take the last few drinks of it, and no order waits for the disk because
// of it. The owner loop's own once the machine runs.
type Wear struct {
	path  string // "": nowhere
	since map[Care]*since
	began time.Time // of what seconds do not hold yet, monotonic
	last  int       // drinks that the file does not have
}

// since is what was done since the last care of a kind.
type since struct {
	Drinks  int     `json:"drinks"`
	Seconds float64 `json:"seconds"` // in service
}

// Due is how it stands with one kind of care.
type Due struct {
	Care   Care
	Drinks int // since the last time
	Hours  int // in service, since then
	Due    bool
	Itself bool // needs nobody at the machine
}

// mostCounted is more drinks, and seconds, than a machine lives: what a file says beyond was
// damaged, and no shop would believe it.
const mostCounted = 1_000_000_000

// keepEvery is how many drinks a file may lag behind.
const keepEvery = 10

// OpenWear reads what was kept; the path need not be there. The error says that it can't
// be read: then everything counts from now on, which the caller says.
func OpenWear(path string) (*Wear, error) {
	w := &Wear{path: path, since: map[Care]*since{}, began: time.Now()}
	if path == "" {
		return w, nil
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w, nil
	case err == nil:
		err = json.Unmarshal(b, &w.since)
	}
	if err == nil && w.since == nil { // "null"
		err = errors.New("it holds nothing")
	}
	for c, s := range w.since {
		if s == nil || s.Drinks < 0 || s.Drinks > mostCounted || !(s.Seconds >= 0 && s.Seconds <= mostCounted) {
			err = errors.Join(err, fmt.Errorf("%q is no count", c))
		}
	}
	if err != nil {
		w.since = map[Care]*since{}
		return w, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

func (w *Wear) of(c Care) *since {
	if w.since[c] == nil {
		w.since[c] = &since{}
	}
	return w.since[c]
}

// made counts a drink, or begins anew after a care.
func (w *Wear) made(c Care) {
	w.pass()
	if c != "" {
		*w.of(c) = since{}
		if c != Rinse { // it ends with one
			*w.of(Rinse) = since{}
		}
		w.keep()
		return
	}
	for _, c := range Cares {
		w.of(c).Drinks++
	}
	if w.last++; w.last >= keepEvery {
		w.keep()
	}
}

// pass adds the time since the last look.
func (w *Wear) pass() {
	now := time.Now()
	for _, c := range Cares {
		w.of(c).Seconds += now.Sub(w.began).Seconds()
	}
	w.began = now
}

// keep writes it down. What can't be written is counted all the same.
func (w *Wear) keep() {
	w.pass()
	if w.path == "" {
		return
	}
	b, err := json.Marshal(w.since)
	if err != nil { // plain structs: cannot happen
		return
	}
	if os.WriteFile(w.path+".new", b, 0o640) == nil && os.Rename(w.path+".new", w.path) == nil {
		w.last = 0
	}
}

// due is how it stands with each of these.
func (w *Wear) due(p *Plan, cares []Care) (out []Due) {
	w.pass()
	for _, c := range cares {
		s, up := w.of(c), p.Care[c]
		service := time.Duration(s.Seconds * float64(time.Second))
		out = append(out, Due{
			Care: c, Drinks: s.Drinks, Hours: int(service / time.Hour), Itself: p.ByItself(c),
			Due: up.Every > 0 && s.Drinks >= up.Every || up.After > 0 && service >= up.After,
		})
	}
	return out
}
