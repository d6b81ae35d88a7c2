package guard

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
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

var (
	plain = cmp.Options{cmpopts.IgnoreUnexported(state{}), cmpopts.EquateEmpty()}
	// content leaves out what a file says of itself and of the journal.
	content = append(plain, cmpopts.IgnoreFields(state{}, "ID", "At", "Journal"))
)

func encoded(t testing.TB, s state) []byte {
	t.Helper()
	data, err := encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestStateRoundTrip(t *testing.T) {
	placed := sample
	placed.ID, placed.At, placed.Journal = "abc", 7, Place{"def", 9}
	for _, s := range []state{{}, sample, placed} {
		got, err := decode(encoded(t, s))
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
	whole := encoded(t, sample)
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
		strings.Repeat(" ", room): "too many",
	} {
		if _, err := decode(sealed(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", body, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, sample), false)
	f.Add(append([]byte("barista guard 1 c53c3b1d\n"), "{}"...), false)
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
		long, err := encode(s)
		if err != nil {
			return // it was too long for us
		}
		again, err := decode(long)
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
	if diff := cmp.Diff(sample, got, content); diff != "" {
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

// Only for a latch, its end and who waits for the disk is the state written and
// synced. All is written over what was there: nothing of it needs room on the disk.
func TestStoreSyncsLatchesOnly(t *testing.T) {
	now := state{Boot: "a"}
	s := newStore(t.TempDir())
	s.snapshot = func() state { return now }
	if err := <-s.save(); err != nil {
		t.Fatal(err)
	}
	file := func(name string, size int64) os.FileInfo {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != size {
			t.Errorf("%s has %d bytes, want %d", name, info.Size(), size)
		}
		return info
	}
	scribble := []byte("scribble")
	halves := func() (out []string) {
		data, err := os.ReadFile(filepath.Join(s.dir, stateFile))
		if err != nil {
			t.Fatal(err)
		}
		return []string{string(data[:len(scribble)]), string(data[room : room+len(scribble)])}
	}
	latch := &Latch{Cause: "no flow"}
	for _, c := range []struct {
		what    string
		next    state
		wait    bool
		written bool
	}{
		{"a part goes on", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {On: true, From: 1e18}}}, false, false},
		{"it goes off", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {Off: 2}}}, false, false},
		{"a latch", state{Boot: "a", Latch: latch, Parts: map[driver.Part]memory{driver.Grinder: {Off: 2}}}, false, true},
		{"a part while latched", state{Boot: "a", Latch: latch, Parts: map[driver.Part]memory{driver.Grinder: {Off: 3}}}, false, false},
		{"the latch ends", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {Off: 3}}}, false, true},
		{"somebody waits", state{Boot: "a", Parts: map[driver.Part]memory{driver.Grinder: {Off: 4}}}, true, true},
	} {
		before, rests := file(stateFile, 2*room), file(restFile, room)
		whole, err := os.ReadFile(filepath.Join(s.dir, stateFile))
		if err != nil {
			t.Fatal(err)
		}
		scribbled := bytes.Clone(whole)
		copy(scribbled, scribble)
		copy(scribbled[room:], scribble)
		overwrite(t, filepath.Join(s.dir, stateFile), scribbled)
		now = c.next
		s.writeNow(c.wait)
		for i, half := range halves() {
			if written := half != string(scribble); written != c.written {
				t.Errorf("%s: half %d of the state was written: %v", c.what, i, written)
			}
		}
		if !c.written {
			overwrite(t, filepath.Join(s.dir, stateFile), whole)
		}
		if !os.SameFile(before, file(stateFile, 2*room)) || !os.SameFile(rests, file(restFile, room)) {
			t.Errorf("%s: not written over what was there", c.what)
		}
		if got, err := s.load(); err != nil || s.last() != nil {
			t.Error(err, s.last())
		} else if diff := cmp.Diff(c.next, got, content, cmpopts.EquateApproxTime(0)); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
		s.latch = c.next.Latch // load has made another one of it
	}
}

// overwrite writes into the file that is there, as a copy that is put back does.
func overwrite(t testing.TB, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Truncate(int64(len(data))), f.Close())
	}
	if err != nil {
		t.Fatal(err)
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
	whole = bytes.TrimRight(whole, "\x00")
	tries := [][]byte{encoded(t, state{Boot: "b", Parts: sample.Parts})}
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

// The power goes while the state is written: it is the old one or the new one, and
// the old one only as long as nobody was told that the new one is on disk.
func TestHalfOfTheState(t *testing.T) {
	dir := t.TempDir()
	before, after := encoded(t, state{Boot: "a"}), encoded(t, state{Boot: "a", Latch: sample.Latch})
	half := func(data []byte) []byte { return append(bytes.Clone(data), make([]byte, room-len(data))...) }
	torn := func(cut int) []byte { return append(bytes.Clone(after[:cut]), half(before)[cut:]...) }
	for cut := range after {
		for i, file := range [][]byte{append(torn(cut), half(before)...), append(half(after), torn(cut)...)} {
			if err := os.WriteFile(filepath.Join(dir, stateFile), file, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := newStore(dir).load()
			if err != nil || (got.Latch != nil) != (i == 1) || got.Latch != nil && got.Latch.Cause != sample.Latch.Cause {
				t.Fatalf("cut at byte %d of half %d: %+v, %v", cut, i, got, err)
			}
		}
	}
}

// Files of version 1, which named no journal and had no room of their own, are taken
// over with all they say, and without a word.
func TestFormerState(t *testing.T) {
	former := func(body string) []byte {
		return fmt.Appendf(nil, "barista guard 1 %08x\n%s", crc32.Checksum([]byte(body), castagnoli), body)
	}
	s := newStore(t.TempDir())
	boot, _ := kernelClock()
	overwrite(t, filepath.Join(s.dir, stateFile), former(`{"boot":"`+boot+`","latch":{"code":"no-flow","cause":"no water came","at":"2026-11-21T07:00:00Z"}}`))
	overwrite(t, filepath.Join(s.dir, restFile), former(`{"boot":"`+boot+`","parts":{"grinder":{"from_ns":0,"off_ns":5}}}`))
	want, err := s.load()
	if err != nil || want.Latch == nil || want.Latch.Code != "no-flow" || want.Latch.Cause != "no water came" || want.Parts[driver.Grinder].Off != 5 || want.fresh {
		t.Fatalf("%+v, %v", want, err)
	}
	if s.own.ID == "" || s.own.At != 0 || s.written.ID != "" {
		t.Errorf("it stands at %v, and knows %v", s.own, s.written)
	}
	s.snapshot = func() state { return want }
	if err := <-s.save(); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{stateFile: 2 * room, restFile: room} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	got, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, content); diff != "" {
		t.Error(diff)
	}
}

// A state that is gone while its rests are there was deleted.
func TestStateIsGone(t *testing.T) {
	s := newStore(t.TempDir())
	if err := <-s.save(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, stateFile)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.load(); err != nil || got.fresh || got.Latch == nil || got.Latch.Code != CodeForgot {
		t.Errorf("%+v, %v", got, err)
	}
}

// The longest fault that is taken has room, and so have all parts with all their
// runs.
func TestRoom(t *testing.T) {
	long := strings.Repeat("\x01", 2*maxCause)
	st := state{Boot: strings.Repeat("b", 36), ID: strings.Repeat("i", 26), At: 1 << 63, Journal: Place{strings.Repeat("j", 26), 1 << 63}}
	st.Latch = newLatch(Latch{Code: long, Detail: long, Cause: long, Feedback: true})
	encoded(t, st)
	st.Latch, st.Parts = nil, map[driver.Part]memory{}
	for _, p := range driver.Parts {
		m := memory{On: true, From: -maxTime, Off: -maxTime}
		for range maxSpans {
			m.Runs = append(m.Runs, [2]int64{-maxTime, -maxTime})
		}
		st.Parts[p] = m
	}
	encoded(t, st)
	if _, err := encode(state{Boot: strings.Repeat("b", room)}); err == nil {
		t.Error("there is always room")
	}
}

// Rests that can't be written don't keep a latch from the disk.
func TestLatchWithoutRests(t *testing.T) {
	s := newStore(t.TempDir())
	if err := os.Mkdir(filepath.Join(s.dir, restFile), 0o700); err != nil {
		t.Fatal(err)
	}
	s.own.ID = "abc"
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
		"the file can't be opened":     folder("there", stateFile),
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
