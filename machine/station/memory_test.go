package station

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barista/driver/guard"
	"barista/machine/journal"
)

// The files of a machine that remember something.
var memories = []string{"journal", "guard.state", "guard.rest"}

// files is what stands in a folder at a moment.
type files map[string][]byte

func look(t *testing.T, dir string) files {
	t.Helper()
	f := files{}
	for _, name := range memories {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		f[name] = b
	}
	return f
}

// put writes over what is there, as a kill leaves it, or a person who puts back a
// copy.
func (f files) put(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		w, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err == nil {
			_, err = w.Write(f[name])
			err = errors.Join(err, w.Truncate(int64(len(f[name]))), w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// drink is what a drink leaves in the memories.
func drink(t *testing.T, s *Station, order string) {
	t.Helper()
	j, k := s.Machine.Journal(), journal.Key{Order: order, Epoch: 1}
	if err := errors.Join(j.Start(k, journal.Note{Counter: -1}), s.Guard.Note(), j.End(k, journal.Made, journal.Reason{}), j.Confirm(k)); err != nil {
		t.Fatal(err)
	}
}

// kill ends a station without its end.
func kill(t *testing.T, s *Station, dir string) {
	t.Helper()
	now := look(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now.put(t, dir, memories...)
}

// What is deleted or put back behind a machine's back locks it until a person
// accepts; a restart and a kill, at any moment, do not.
func TestMemories(t *testing.T) {
	remove := func(names ...string) func(*testing.T, string, files) {
		return func(t *testing.T, dir string, _ files) {
			for _, name := range names {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	back := func(names ...string) func(*testing.T, string, files) {
		return func(t *testing.T, dir string, old files) { old.put(t, dir, names...) }
	}
	for name, c := range map[string]struct {
		fault   bool // came after the copy was made
		cleared bool // and was cleared
		do      func(t *testing.T, dir string, old files)
		damaged string // what is said of the journal
		latched string // of a fault
	}{
		"nothing":                        {},
		"nothing, after a fault":         {fault: true, latched: "no water came"},
		"nothing, and it was cleared":    {fault: true, cleared: true},
		"an older journal":               {do: back("journal"), damaged: "an older copy"},
		"an older journal and rests":     {do: back("journal", "guard.rest"), damaged: "an older copy"},
		"no journal":                     {do: remove("journal"), damaged: "it is gone"},
		"no journal, no rests":           {do: remove("journal", "guard.rest"), damaged: "it is gone"},
		"no state":                       {do: remove("guard.state"), latched: "can't be read"},
		"no state, no rests":             {do: remove("guard.state", "guard.rest"), latched: "deleted or replaced"},
		"no journal, no state":           {do: remove("journal", "guard.state"), damaged: "it is gone", latched: "can't be read"},
		"an older state":                 {fault: true, do: back("guard.state"), latched: "an older copy"},
		"an older state and rests":       {fault: true, do: back("guard.state", "guard.rest"), latched: "an older copy"},
		"an older state of two changes":  {fault: true, cleared: true, do: back("guard.state"), latched: "an older copy"},
		"an older journal after a fault": {fault: true, do: back("journal"), damaged: "an older copy", latched: "no water came"},
	} {
		for _, end := range []string{"stopped", "killed"} {
			if name == "an older journal and rests" && end == "killed" {
				continue // then the state alone knows of the journal, and only what was on disk at the start
			}
			t.Run(name+", "+end, func(t *testing.T) {
				cfg, _ := config(t)
				s := opened(t, cfg)
				drink(t, s, "o1")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = opened(t, cfg)
				old := look(t, cfg.Dir)
				drink(t, s, "o2")
				if c.fault {
					s.Guard.Trip(guard.Latch{Code: "no-flow", Cause: "no water came"})
				}
				if c.cleared {
					if err := s.Guard.Clear("zoe", "the tank was empty"); err != nil {
						t.Fatal(err)
					}
				}
				noted(t, s)
				if end == "killed" {
					kill(t, s, cfg.Dir)
				} else if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if c.do != nil {
					c.do(t, cfg.Dir, old)
				}
				for range 2 { // a restart, or a kill before anybody came, accepts nothing
					s = opened(t, cfg)
					check(t, s, c.damaged, c.latched)
					if err := s.Machine.Journal().Start(journal.Key{Order: "o2", Epoch: 1}, journal.Note{}); err == nil {
						t.Error("the same drink can be begun again")
					}
					kill(t, s, cfg.Dir)
				}
				s = opened(t, cfg)
				if err := s.Machine.Journal().AcceptDamage("zoe", "looked at it"); err != nil {
					t.Error(err)
				}
				if err := s.Guard.Clear("zoe", "looked at it"); c.latched != "" && err != nil {
					t.Error(err)
				}
				noted(t, s)
				drink(t, s, "o3")
				kill(t, s, cfg.Dir)
				s = opened(t, cfg)
				check(t, s, "", "")
			})
		}
	}
}

// noted waits until the journal knows where the guard's memory stands.
func noted(t *testing.T, s *Station) {
	t.Helper()
	if err := s.Guard.Join(s.Machine.Journal()); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, s *Station, damaged, latched string) {
	t.Helper()
	why, is := s.Machine.Journal().Damaged()
	if is != (damaged != "") || !strings.Contains(why, damaged) {
		t.Errorf("the journal is damaged %v: %q, want %q", is, why, damaged)
	}
	l, is := s.Guard.Latched()
	if is != (latched != "") || !strings.Contains(l.String(), latched) {
		t.Errorf("latched %v: %q, want %q", is, l, latched)
	}
}

// A folder of a version whose files did not know each other is taken over with all
// that it says, and without a word; from then on they do.
func TestFormerFolder(t *testing.T) {
	cfg, _ := config(t)
	if err := os.CopyFS(cfg.Dir, os.DirFS("testdata/former")); err != nil {
		t.Fatal(err)
	}
	former := look(t, cfg.Dir)
	for range 2 {
		s := opened(t, cfg)
		check(t, s, "", "no water came")
		if st := s.Machine.Journal().State(journal.Key{Order: "o1", Epoch: 1}); st.Phase != journal.Confirmed || st.Outcome != journal.Made {
			t.Errorf("it says %v", st)
		}
		if open := s.Machine.Journal().Open(); !slices.ContainsFunc(open, func(r journal.Record) bool { return r.Order == "o2" }) {
			t.Errorf("open are %v", open)
		}
		kill(t, s, cfg.Dir)
	}
	s := opened(t, cfg)
	if err := s.Guard.Clear("zoe", "the tank was empty"); err != nil {
		t.Error(err)
	}
	noted(t, s)
	kill(t, s, cfg.Dir)
	now := look(t, cfg.Dir)
	const healthy = `{"boot":"7de26913-74ff-4574-aedc-2fd15745b552"}`
	files{"guard.state": fmt.Appendf(nil, "barista guard 1 %08x\n%s", crc32.Checksum([]byte(healthy), crc32.MakeTable(crc32.Castagnoli)), healthy)}.
		put(t, cfg.Dir, "guard.state")
	s = opened(t, cfg)
	if l, _ := s.Guard.Latched(); l.Code != guard.CodeVersion {
		t.Errorf("the former state was put back: %v", l)
	}
	_ = s.Close()
	now.put(t, cfg.Dir, memories...)
	former.put(t, cfg.Dir, "journal")
	check(t, opened(t, cfg), "an older copy", "")
}
