package calibration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"barista/driver"
	"barista/machine/recipe"
)

// Name of the file in the machine's folder.
const Name = "calibration.json"

// keep is how many versions of a part are kept.
const keep = 20

// maxFile is far above 3 × 20 versions.
const maxFile = 1 << 20

// Version is one measurement that a person kept. The figures are in the
// machine's own time: of a simulated one that is faster, those of its speed 1.
type Version struct {
	N         int       `json:"n"` // from 1, never given twice
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	PerSecond float64   `json:"per_second"`
	DelayMS   int64     `json:"delay_ms"`
	Worst     float64   `json:"worst"`
	Before    int       `json:"before"` // in force until this one; 0: the configuration
}

// Delay from "on" until something comes.
func (v Version) Delay() time.Duration { return time.Duration(v.DelayMS) * time.Millisecond }

// Swap says that a part is another one than was measured before.
type Swap struct {
	At    time.Time `json:"at"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
	After int       `json:"after"` // the last version of the old part; 0: it had none
}

// history is what is kept of one part.
type history struct {
	InForce  int       `json:"in_force"` // 0: the configuration
	By       string    `json:"by"`       // who made it so, and when
	At       time.Time `json:"at"`
	Versions []Version `json:"versions"`          // oldest first
	Swapped  *Swap     `json:"swapped,omitempty"` // the last time
}

// content is the file.
type content struct {
	Format int                      `json:"format"`
	Parts  map[driver.Part]*history `json:"parts"`
}

// Store is a machine's file of calibrations.
type Store struct {
	path string
	c    content
}

// ErrNothing: there is no version to go back from.
var ErrNothing = errors.New("nothing was calibrated here")

// DamagedError: the file is not what this program writes. The machine must not
// start with it.
type DamagedError struct {
	Path string
	Why  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the calibration %s is damaged: %v: put a good copy back, or remove it: then the configuration's figures count until barista calibrate has measured again", e.Path, e.Why)
}

// Unwrap is the reason.
func (e *DamagedError) Unwrap() error { return e.Why }

// Open reads the file in the machine's folder. That there is none is no error:
// nothing was calibrated. A *DamagedError is for a person. It writes nothing.
func Open(dir string) (*Store, error) {
	s := &Store{path: filepath.Join(dir, Name), c: content{Format: 1, Parts: map[driver.Part]*history{}}}
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("calibration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("calibration %s: %w", s.path, err)
	}
	if s.c, err = decode(b); err != nil {
		return nil, &DamagedError{s.path, err}
	}
	return s, nil
}

func decode(b []byte) (content, error) {
	if len(b) > maxFile {
		return content{}, errors.New("it is far too long")
	}
	var c content
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return content{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return content{}, errors.New("something stands behind its end")
	}
	if c.Format != 1 {
		return content{}, fmt.Errorf("its format is %d, and this program knows 1", c.Format)
	}
	if c.Parts == nil {
		return content{}, errors.New("it has no parts")
	}
	for p, h := range c.Parts {
		if err := h.check(p); err != nil {
			return content{}, fmt.Errorf("%s: %w", p, err)
		}
	}
	return c, nil
}

func (h *history) check(p driver.Part) error {
	b, known := bounds[p]
	switch {
	case !known:
		return errors.New("no such part is calibrated")
	case h == nil || len(h.Versions) > keep:
		return errors.New("it has no versions, or too many")
	}
	last := 0
	for _, v := range h.Versions {
		c := recipe.Calibration{StartDelay: map[driver.Part]time.Duration{p: v.Delay()}}
		set(&c, p, v.PerSecond)
		if err := c.Check(); err != nil {
			return err
		}
		switch {
		case v.N <= last || v.Before < 0 || v.Before >= v.N:
			return fmt.Errorf("version %d is out of order", v.N)
		case v.PerSecond < b.least || v.PerSecond > b.most || v.DelayMS < 0 || v.DelayMS > 10_000:
			return fmt.Errorf("version %d has impossible figures: %v %s/s after %v ms", v.N, v.PerSecond, b.unit, v.DelayMS)
		}
		last = v.N
	}
	if h.Swapped != nil && (h.Swapped.After < 0 || h.Swapped.After > last) {
		return fmt.Errorf("it was swapped after version %d, which is not there", h.Swapped.After)
	}
	if _, there := h.version(h.InForce); !there && h.InForce != 0 {
		return fmt.Errorf("version %d is in force, and not there", h.InForce)
	}
	return nil
}

func (h *history) version(n int) (Version, bool) {
	for _, v := range h.Versions {
		if v.N == n {
			return v, true
		}
	}
	return Version{}, false
}

// InForce is the version that counts for a part; not there: the configuration.
func (s *Store) InForce(p driver.Part) (Version, bool) {
	if h := s.c.Parts[p]; h != nil {
		return h.version(h.InForce)
	}
	return Version{}, false
}

// Swapped says how it came that what counts for a part is not known to be true of it: the
// part was swapped, and what was measured since, if anything, is not in force.
func (s *Store) Swapped(p driver.Part) (Swap, bool) {
	h := s.c.Parts[p]
	if h == nil || h.Swapped == nil || h.InForce > h.Swapped.After {
		return Swap{}, false
	}
	return *h.Swapped, true
}

// Versions lists what is kept of a part, oldest first.
func (s *Store) Versions(p driver.Part) []Version {
	if h := s.c.Parts[p]; h != nil {
		return slices.Clone(h.Versions)
	}
	return nil
}

// Over is a calibration with what is in force here put over it. c is in the time
// of the machine as it runs, which may be simulated and faster.
func (s *Store) Over(c recipe.Calibration) recipe.Calibration {
	for _, p := range Parts {
		if v, there := s.InForce(p); there {
			c = Rate{PerSecond: v.PerSecond, Delay: v.Delay()}.Over(c, p)
		}
	}
	return c
}

// Over is a calibration with the rate put over a part's, as Store.Over does.
func (r Rate) Over(c recipe.Calibration, p driver.Part) recipe.Calibration {
	set(&c, p, r.PerSecond*c.Factor())
	if c.StartDelay = maps.Clone(c.StartDelay); c.StartDelay == nil {
		c.StartDelay = map[driver.Part]time.Duration{}
	}
	c.StartDelay[p] = time.Duration(float64(r.Delay) / c.Factor())
	return c
}

// RateOf is a part's rate and start delay in a calibration.
func RateOf(c recipe.Calibration, p driver.Part) (perSecond float64, delay time.Duration) {
	switch p {
	case driver.Grinder:
		perSecond = c.GrinderGPS
	case driver.Pump:
		perSecond = c.PumpMLPS
	case driver.Milk:
		perSecond = c.MilkMLPS
	}
	return perSecond, c.StartDelay[p]
}

func set(c *recipe.Calibration, p driver.Part, perSecond float64) {
	switch p {
	case driver.Grinder:
		c.GrinderGPS = perSecond
	case driver.Pump:
		c.PumpMLPS = perSecond
	case driver.Milk:
		c.MilkMLPS = perSecond
	}
}

// Keep puts a measurement in force, as a new version, and returns when that is
// on disk. The rate is in the machine's own time. by is the person.
func (s *Store) Keep(p driver.Part, r Rate, by string, now time.Time) (Version, error) {
	next := s.part(p)
	v := Version{N: 1, At: now.UTC().Truncate(time.Second), By: by, PerSecond: r.PerSecond, DelayMS: r.Delay.Milliseconds(), Worst: r.Worst, Before: next.InForce}
	if n := len(next.Versions); n > 0 {
		v.N = next.Versions[n-1].N + 1
	}
	next.Versions = append(next.Versions, v)
	if n := len(next.Versions); n > keep {
		next.Versions = next.Versions[n-keep:]
	}
	next.InForce, next.By, next.At = v.N, by, v.At
	if err := next.check(p); err != nil {
		return Version{}, fmt.Errorf("calibration of the %s: %w", p, err)
	}
	return v, s.put(p, next)
}

// Rollback puts what was in force before the present version in force again; it
// returns that one, the zero Version for the configuration. A version that is
// not kept any more can't come back.
func (s *Store) Rollback(p driver.Part, by string, now time.Time) (Version, error) {
	next := s.part(p)
	v, there := next.version(next.InForce)
	if !there {
		return Version{}, fmt.Errorf("%s: %w: the configuration's figures count already", p, ErrNothing)
	}
	back, there := next.version(v.Before)
	if !there && v.Before != 0 {
		return Version{}, fmt.Errorf("%s: version %d, which was in force before version %d, is not kept any more: measure again", p, v.Before, v.N)
	}
	next.InForce, next.By, next.At = v.Before, by, now.UTC().Truncate(time.Second)
	return back, s.put(p, next)
}

// Swap notes that a part is another one now. What counted goes on counting, until the new
// part is measured.
func (s *Store) Swap(p driver.Part, by, why string, now time.Time) error {
	next := s.part(p)
	next.Swapped = &Swap{At: now.UTC().Truncate(time.Second), By: by, Why: why}
	if n := len(next.Versions); n > 0 {
		next.Swapped.After = next.Versions[n-1].N
	}
	if err := next.check(p); err != nil {
		return fmt.Errorf("the swap of the %s: %w", p, err)
	}
	return s.put(p, next)
}

// part is a copy of a part's history.
func (s *Store) part(p driver.Part) *history {
	if h := s.c.Parts[p]; h != nil {
		next := *h
		next.Versions = slices.Clone(h.Versions)
		return &next
	}
	return &history{}
}

// put writes the file with one part changed, and only then lets it count.
func (s *Store) put(p driver.Part, h *history) error {
	c := content{Format: 1, Parts: maps.Clone(s.c.Parts)}
	c.Parts[p] = h
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(s.path, append(b, '\n')); err != nil {
		return fmt.Errorf("calibration: %w", err)
	}
	s.c = c
	return nil
}

// replace puts a new file in the place of path, or leaves the old one untouched.
// The library makes the file durable, and leaves its name in the folder to us.
func replace(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, b, 0o640, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
