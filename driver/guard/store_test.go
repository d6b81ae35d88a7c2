package guard

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"barista/driver"
)

var sample = state{
	Boot:  "5003925e",
	Latch: &Latch{Cause: "no flow", At: time.Date(2026, 11, 21, 7, 0, 0, 5, time.UTC)},
	Parts: map[driver.Part]memory{
		driver.Grinder: {Off: 77e9},
		driver.Pump:    {On: true, From: 80e9, Runs: [][2]int64{{-5e9, 1e9}, {2e9, 3e9}}},
	},
}

var plain = cmp.Options{cmpopts.IgnoreUnexported(state{}), cmpopts.EquateEmpty()}

func TestStateRoundTrip(t *testing.T) {
	for _, s := range []state{{}, sample} {
		got, err := decode(encode(s))
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(s, got, plain); diff != "" {
			t.Error(diff)
		}
	}
}

// No flipped bit and no cut makes another state of it.
func TestStateDamage(t *testing.T) {
	whole := encode(sample)
	for i := range whole {
		if _, err := decode(whole[:i]); err == nil {
			t.Errorf("cut at byte %d: read as whole", i)
		}
		for bit := range 8 {
			bad := bytes.Clone(whole)
			bad[i] ^= 1 << bit
			if got, err := decode(bad); err == nil {
				t.Errorf("bit %d of byte %d flipped: read as %v", bit, i, got)
			}
		}
	}
}

func sealed(body string) []byte { return append([]byte(header([]byte(body))), body...) }

func TestDecodeIsStrict(t *testing.T) {
	many := strings.Repeat("[1,2],", maxSpans) + "[3,4]"
	for body, want := range map[string]string{
		`{"boot":"a"} {}`:                   "something stands behind its end",
		`{"boot":"a","hat":1}`:              "unknown field",
		`{"boot":`:                          "EOF",
		`{"boot":"a","latch":{"cause":""}}`: "a fault without a cause",
		`{"boot":"a","parts":{"pump":{"from_ns":0,"off_ns":4000000000000000000}}}`:                   "beyond all clocks",
		`{"boot":"a","parts":{"pump":{"from_ns":-4000000000000000000,"off_ns":0}}}`:                  "beyond all clocks",
		`{"boot":"a","parts":{"pump":{"from_ns":0,"off_ns":0,"runs_ns":[[5,4]]}}}`:                   "out of order",
		`{"boot":"a","parts":{"pump":{"from_ns":0,"off_ns":0,"runs_ns":[[1,4],[3,5]]}}}`:             "out of order",
		`{"boot":"a","parts":{"pump":{"from_ns":0,"off_ns":0,"runs_ns":[` + many + `]}}}`:            "too many runs",
		`{"boot":"a","parts":{"pump":{"from_ns":0,"off_ns":0,"runs_ns":[[1,9000000000000000000]]}}}`: "beyond all clocks",
		strings.Repeat(" ", maxState): "too many",
	} {
		if _, err := decode(sealed(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", body, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(sample), false)
	f.Add([]byte(`{"boot":"a","parts":{"pump":{"on":true,"from_ns":1,"off_ns":0,"runs_ns":[[1,2]]}}}`), true)
	f.Add([]byte(`{"boot":"a","latch":{"cause":"x","at":"2026-11-21T07:00:00Z"}}`), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal { // else the checksum keeps nearly everything out
			data = sealed(string(data))
		}
		s, err := decode(data)
		if err != nil {
			if diff := cmp.Diff(state{}, s, plain); diff != "" {
				t.Errorf("an error and a state: %v", diff)
			}
			return
		}
		again, err := decode(encode(s))
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		if diff := cmp.Diff(s, again, plain); diff != "" {
			t.Error(diff)
		}
	})
}

func newStore(dir string) *store {
	return &store{dir: dir, clock: kernelClock, snapshot: func() state { return sample }}
}

func TestStorePutAndLoad(t *testing.T) {
	s := newStore(filepath.Join(t.TempDir(), "deep", "zoe"))
	if got, err := s.load(); err != nil || !got.fresh || got.Latch != nil {
		t.Errorf("a new machine: %+v, %v", got, err)
	}
	if err := <-s.save(); err != nil {
		t.Error(err)
	}
	got, err := s.load()
	if err != nil || got.fresh {
		t.Errorf("%+v, %v", got, err)
	}
	if diff := cmp.Diff(sample, got, plain); diff != "" {
		t.Error(diff)
	}
	entries, _ := os.ReadDir(s.dir)
	if len(entries) != 2 {
		t.Errorf("left in the folder: %v", entries)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", e.Name(), info.Mode())
		}
	}
}

// Only a latch, its end and who waits for the disk have the state file replaced and
// synced. A rest is written over the one before it.
func TestStoreSyncsLatchesOnly(t *testing.T) {
	now := state{Boot: "a"}
	s := newStore(t.TempDir())
	s.snapshot = func() state { return now }
	if err := <-s.save(); err != nil {
		t.Fatal(err)
	}
	file := func(name string) os.FileInfo {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	latch := &Latch{Cause: "no flow"}
	for _, c := range []struct {
		what     string
		next     state
		wait     bool
		replaced bool
	}{
		{"a part goes on", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {On: true, From: 1e18}}}, false, false},
		{"it goes off", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {Off: 2}}}, false, false},
		{"a latch", state{Boot: "a", Latch: latch, Parts: map[driver.Part]memory{driver.Grinder: {Off: 2}}}, false, true},
		{"a part while latched", state{Boot: "a", Latch: latch, Parts: map[driver.Part]memory{driver.Grinder: {Off: 3}}}, false, false},
		{"the latch ends", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {Off: 3}}}, false, true},
		{"somebody waits", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {Off: 4}}}, true, true},
	} {
		before, rests := file(stateFile), file(restFile)
		now = c.next
		s.writeNow(c.wait)
		if replaced := !os.SameFile(before, file(stateFile)); replaced != c.replaced {
			t.Errorf("%s: the state file was replaced: %v", c.what, replaced)
		}
		if !os.SameFile(rests, file(restFile)) {
			t.Errorf("%s: the rests were not written over", c.what)
		}
		if got, err := s.load(); err != nil || s.last() != nil {
			t.Error(err, s.last())
		} else if diff := cmp.Diff(c.next, got, plain); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}

// writeNow has the state written, and comes back when that is done.
func (s *store) writeNow(wait bool) {
	if wait {
		<-s.save()
		return
	}
	s.mu.Lock()
	s.due, s.writing = true, true
	s.mu.Unlock()
	s.write()
}

// A power cut leaves half of the rests, or those of another boot: neither is
// believed, and neither is a fault of the machine.
func TestHalfOfTheRests(t *testing.T) {
	s := newStore(t.TempDir())
	s.snapshot = func() state { return state{Boot: "a", Parts: sample.Parts} }
	if err := <-s.save(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, restFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tries := [][]byte{encode(state{Boot: "b", Parts: sample.Parts}), append(bytes.Clone(whole), whole[len(whole)/2:]...)}
	for cut := range whole {
		tries = append(tries, whole[:cut], append(bytes.Clone(whole[:cut]), make([]byte, len(whole)-cut)...))
	}
	for _, data := range tries {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.load(); err != nil || got.Latch != nil || got.fresh || got.Boot != "" || len(got.Parts) != 0 {
			t.Fatalf("%q: read as %+v, %v", data, got, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := s.load(); err != nil || got.Latch != nil || got.fresh || got.Boot != "" {
		t.Errorf("none: %+v, %v", got, err)
	}
}

// Rests that can't be written don't keep a latch from the disk.
func TestLatchWithoutRests(t *testing.T) {
	s := newStore(t.TempDir())
	if err := os.Mkdir(filepath.Join(s.dir, restFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := <-s.save(); err == nil || !strings.Contains(err.Error(), "can't remember rests") {
		t.Errorf("%v", err)
	}
	if got, err := s.load(); err != nil || got.Latch == nil || got.Latch.Cause != sample.Latch.Cause {
		t.Errorf("%+v, %v", got, err)
	}
}

// Each step of a write can fail, and each failure is said.
func TestStoreFailures(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	folder := func(name string, blocked string) string {
		dir := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Join(dir, blocked, "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, dir := range map[string]string{
		"no folder":                    filepath.Join(root, "missing"),
		"the new file can't be opened": folder("open", stateFile+".new"),
		"it can't be renamed":          folder("rename", stateFile),
	} {
		s := newStore(dir)
		if err := <-s.save(); err == nil || !strings.Contains(err.Error(), "can't remember rests and faults over a restart") {
			t.Errorf("%s: %v", name, err)
		}
		if s.last() == nil {
			t.Errorf("%s: forgotten", name)
		}
	}
	if _, err := newStore(filepath.Join(file, "zoe")).load(); err == nil || !strings.Contains(err.Error(), "no folder to remember") {
		t.Errorf("%v", err)
	}
	if err := syncFolder(filepath.Join(root, "missing")); err == nil {
		t.Error("synced a folder that isn't there")
	}

	// Without the record in the log, the state keeps the latch.
	s := newStore(folder("log", logFile))
	s.note("ann")
	if err := <-s.save(); err == nil || !strings.Contains(err.Error(), "can't record who cleared the fault") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, stateFile)); err == nil {
		t.Error("the state was written without the record")
	}
	if err := <-s.save(); err != nil || s.last() != nil {
		t.Errorf("the next write: %v", err)
	}
}

func TestKernelClock(t *testing.T) {
	id, a := kernelClock()
	same, b := kernelClock()
	if len(id) != 36 || id != same || a <= 0 || b < a {
		t.Errorf("%q %v, %q %v", id, a, same, b)
	}
}
