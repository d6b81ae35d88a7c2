package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"barista/driver/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hw = "mock m1 0001"

var (
	k1 = Key{"01JD0000000000000000000001", 1}
	k2 = Key{"01JD0000000000000000000002", 1}
	k3 = Key{"01JD0000000000000000000003", 2}
	k4 = Key{"01JD0000000000000000000004", 1}

	noTime = cmpopts.IgnoreFields(Record{}, "At")
)

func mustOpen(t testing.TB, path string) *Journal {
	t.Helper()
	j, err := Open(path, named(hw), guard.Place{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func ok(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sample writes a journal with every kind of record: k1 confirmed, k2 ended, k3
// started with a counter, k4 untouched.
func sample(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, path)
	ok(t,
		j.Start(k1, Note{Counter: -1, What: "small"}),
		j.End(k1, Made, Reason{}),
		j.Confirm(k1),
		j.CupTaken(),
		j.Start(k2, Note{Counter: -1, What: "large"}),
		j.End(k2, Spoiled, Reason{"no-flow", "0.0 ml", "no water came"}),
		j.Start(k4, Note{Counter: -1}),
		j.End(k4, Untouched, Reason{Quote: "stopped"}),
		j.Start(k3, Note{Counter: 41, Cycles: 2, What: "two cycles"}),
		j.Close())
	return path
}

// view is everything that a journal says.
type view struct {
	States            map[string]State
	Open, Unconfirmed []Record
	Cup               Key
	Damaged           string
}

func look(j *Journal) view {
	v := view{States: map[string]State{}, Open: j.Open(), Unconfirmed: j.Unconfirmed()}
	for _, k := range []Key{k1, k2, k3, k4} {
		v.States[k.String()] = j.State(k)
	}
	v.Cup, _ = j.CupStands()
	v.Damaged, _ = j.Damaged()
	return v
}

func TestLife(t *testing.T) {
	path := sample(t)
	j := mustOpen(t, path)
	want := view{
		States: map[string]State{
			k1.String(): {Confirmed, Made, Reason{}},
			k2.String(): {Ended, Spoiled, Reason{"no-flow", "0.0 ml", "no water came"}},
			k3.String(): {Started, "", Reason{}},
			k4.String(): {Ended, Untouched, Reason{Quote: "stopped"}},
		},
		Open: []Record{{Key: k3, Note: Note{41, 2, "two cycles"}}},
		Unconfirmed: []Record{
			{Key: k2, Note: Note{-1, 0, "large"}, Ended: true, Outcome: Spoiled, Reason: Reason{"no-flow", "0.0 ml", "no water came"}},
			{Key: k4, Note: Note{-1, 0, ""}, Ended: true, Outcome: Untouched, Reason: Reason{Quote: "stopped"}},
		},
		Cup: k3,
	}
	if d := cmp.Diff(want, look(j), noTime); d != "" {
		t.Error(d)
	}
	if j.Open()[0].At.IsZero() {
		t.Error("the start's time is lost")
	}
	for order, epoch := range map[string]int{k1.Order: 1, k3.Order: 2, "x": 0} {
		if got := j.Latest(order); got != epoch {
			t.Errorf("the latest epoch of %s is %d, want %d", order, got, epoch)
		}
	}
	if j.Confirm(k3) == nil {
		t.Error("confirmed a start without end")
	}
	for name, c := range map[string]struct{ got, want error }{
		"start again":        {j.Start(k3, Note{}), ErrTwice},
		"start of an end":    {j.Start(k1, Note{}), ErrTwice},
		"same end again":     {j.End(k1, Made, Reason{}), nil},
		"another end":        {j.End(k1, Spoiled, Reason{}), ErrNotStarted},
		"end of nothing":     {j.End(Key{"x", 1}, Made, Reason{}), ErrNotStarted},
		"confirm again":      {j.Confirm(k1), nil},
		"untouched, its cup": {j.End(k3, Untouched, Reason{}), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if err := j.Confirm(Key{"x", 1}); err != nil || j.State(Key{"x", 1}).Phase != None {
		t.Errorf("confirmed what never was: %v", err)
	}
	if cup, there := j.CupStands(); !there || cup != k2 {
		t.Errorf("nothing came into the last cup, so the one before counts; got %v %v", cup, there)
	}
	ok(t, j.Close(), j.Close())
	if err := j.Start(Key{"y", 1}, Note{}); !errors.Is(err, ErrBroken) {
		t.Errorf("after close: %v", err)
	}
}

func TestIDs(t *testing.T) {
	dir := t.TempDir()
	a, b := mustOpen(t, filepath.Join(dir, "a")), mustOpen(t, filepath.Join(dir, "b"))
	if a.ID() == b.ID() || len(a.ID()) < 20 {
		t.Errorf("ids %q and %q", a.ID(), b.ID())
	}
	id := a.ID()
	ok(t, a.Close())
	if c := mustOpen(t, a.Path()); c.ID() != id || c.Hardware() != hw {
		t.Errorf("the id changed from %q to %q", id, c.ID())
	}
}

func TestOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, path)
	if _, err := Open(path, named(hw), guard.Place{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
	ok(t, j.Start(k1, Note{}), j.Close())
	mustOpen(t, path)
	if _, err := Open(filepath.Join(t.TempDir(), "no", "journal"), named(hw), guard.Place{}); err == nil {
		t.Error("opened in a folder that isn't there")
	}
}

// A power cut at any byte leaves what was written before it.
func TestCutAtEveryByte(t *testing.T) {
	path := sample(t)
	b, err := os.ReadFile(path)
	ok(t, err)
	head, _, _, err := decode(b, func(payload) {})
	ok(t, err)
	_, first, _ := decodeHeader(b)
	history := prefixes(t, b)
	for cut := 0; cut <= len(b); cut++ {
		for _, zeros := range []int{0, 3, 900} {
			ok(t, os.WriteFile(path, append(b[:cut:cut], make([]byte, zeros)...), 0o600))
			j, err := openFast(path)
			ok(t, err)
			got, again := look(j), j.Start(Key{"next", 1}, Note{})
			if cut < first || cut == 0 {
				// Files are made whole under another name, so no power cut leaves
				// half a header.
				if got.Damaged == "" || j.ID() == head.ID || again == nil {
					t.Fatalf("cut at %d of the header: %+v, start: %v", cut, got, again)
				}
			} else {
				want := 0
				for want < len(history)-1 && history[want+1].end <= cut {
					want++
				}
				if d := cmp.Diff(history[want].view, got, noTime); d != "" || again != nil || j.ID() != head.ID {
					t.Fatalf("cut at %d + %d zeros, start: %v: %s", cut, zeros, again, d)
				}
			}
			ok(t, j.Close())
			if j, err = openFast(path); err != nil || cut >= first && j.State(Key{"next", 1}).Phase != Started {
				t.Fatalf("cut at %d: the record after it is lost: %v", cut, err)
			}
			ok(t, j.Close())
			clean(t, path)
		}
	}
}

// A record of which only the frame was written is torn, also if its check sum ends
// like a record does: one in 256 does.
func TestCutBehindALineFeed(t *testing.T) {
	for epoch := range 10_000 {
		b, err := encode("id", 1, payload{Do: doStart, Order: "o", Epoch: epoch})
		ok(t, err)
		if b[frame-1] == '\n' {
			if !torn("id", b[:frame]) {
				t.Errorf("%x is taken for damage", b[:frame])
			}
			return
		}
	}
	t.Error("no check sum ends in a line feed: the test is blind")
}

// fast is a disk that counts its fsyncs and does none, for tests of what is read,
// under a boot of the kernel that the test names.
type fast struct {
	disk
	syncs *int
	boots string
}

type fastFile struct {
	file
	syncs *int
}

func (d fast) wrap(f file, err error) (file, error) { return fastFile{f, d.syncs}, err }

func (d fast) create(p string) (file, error)             { return d.wrap(d.disk.create(p)) }
func (d fast) extend(p string, size int64) (file, error) { return d.wrap(d.disk.extend(p, size)) }
func (d fast) syncDir(string) error                      { *d.syncs++; return nil }
func (d fast) boot() string                              { return d.boots }
func (f fastFile) Sync() error                           { *f.syncs++; return nil }

func openFast(path string) (*Journal, error) { return openIn(realDisk{}.boot(), path, new(int)) }

func openIn(boot, path string, syncs *int) (*Journal, error) {
	return open(fast{realDisk{}, syncs, boot}, path, named(hw), guard.Place{})
}

// No fsync for a start and none for its end, as long as the end goes into its claim.
// What the next start needs, what a person said, what was read and what is said to
// be on disk is synced.
func TestSyncs(t *testing.T) {
	n := 0
	path := filepath.Join(t.TempDir(), "journal")
	j, err := openIn("boot 1", path, &n)
	ok(t, err)
	again := func(boot string) func() error {
		return func() (err error) {
			j.lock.Close() // killed
			j, err = openIn(boot, path, &n)
			return err
		}
	}
	for _, c := range []struct {
		what string
		do   func() error
		want int
	}{
		{"made: file, folder, who writes", func() error { return nil }, 3},
		{"start", func() error { return j.Start(k1, Note{}) }, 0},
		{"end", func() error { return j.End(k1, Made, Reason{}) }, 0},
		{"confirm", func() error { return j.Confirm(k1) }, 0},
		{"cup taken", j.CupTaken, 0},
		{"start after what is confirmed", func() error { return j.Start(k2, Note{}) }, 0},
		{"an end that has no claim yet", func() error { return j.End(k2, Spoiled, Reason{}) }, 0},
		{"start after it", func() error { return j.Start(k3, Note{}) }, 1},
		{"nobody knows", func() error { return errors.Join(j.End(k3, Unknown, Reason{}), j.Confirm(k3)) }, 0},
		{"start after it, though it is confirmed", func() error { return j.Start(k4, Note{}) }, 1},
		{"an end, and the broker is away", func() error { return j.End(k4, Made, Reason{}) }, 0},
		{"sync", j.Sync, 1},
		{"sync again", j.Sync, 0},
		{"start after what is synced", func() error { return j.Start(Key{"o5", 1}, Note{}) }, 0},
		{"killed and opened", again("boot 1"), 1},
		{"opened after a power cut", again("boot 2"), 1},
		{"sync after opening", func() error { return j.Sync() }, 0},
		{"close", func() error { return j.Close() }, 1},
		{"opened again", func() (err error) { j, err = openIn("boot 2", path, &n); return err }, 1},
		{"close without anything new", func() error { return j.Close() }, 1},
		{"damaged", func() error { return os.WriteFile(path, []byte("scratched\n"), 0o600) }, 0},
		{"moved aside", func() (err error) { j, err = openIn("boot 2", path, &n); return err }, 3},
		{"damage accepted", func() error { return j.AcceptDamage("zoe", "looked at it") }, 1},
		{"closed", func() error { return j.Close() }, 1},
		{"closed again", func() error { return j.Close() }, 0},
	} {
		ok(t, c.do())
		if n != c.want {
			t.Errorf("%s: %d fsyncs, want %d", c.what, n, c.want)
		}
		n = 0
	}
}

// A power cut takes any number of the last bytes that were not on disk, or leaves
// zeros in their place, and the kernel that comes then is another one. The journal
// is whole, says what it said when the last whole record was written, knows no cup
// for empty, and nothing of what was lost comes back later.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j, err := openIn("boot 1", path, new(int))
	ok(t, err)
	ok(t, j.Start(k1, Note{Counter: -1}), j.End(k1, Made, Reason{}), j.Confirm(k1), j.Start(k2, Note{Counter: 7}))
	ok(t, j.Sync())
	synced, err := os.ReadFile(path)
	ok(t, err)
	ok(t, j.CupTaken(), j.End(k2, Made, Reason{}), j.Confirm(k2), j.Start(k3, Note{Counter: 8}), j.End(k3, Untouched, Reason{Quote: "no"}),
		j.Confirm(k3), j.Start(k4, Note{Counter: 8}))
	all, err := os.ReadFile(path)
	ok(t, err, j.lock.Close())
	history := prefixes(t, all)
	if len(all)-len(synced) < 500 {
		t.Fatalf("only %d bytes are not on disk: the test is blind", len(all)-len(synced))
	}
	for cut := len(synced); cut <= len(all); cut++ {
		var want past
		for _, h := range history {
			if h.end <= cut {
				want = h
			}
		}
		if want.end < len(synced) {
			t.Fatal("the test loses what was on disk")
		}
		want.view.Cup = forgotten // nobody knows what stands there
		for _, zeros := range []int{0, 3, len(all) - cut, 4096} {
			ok(t, os.WriteFile(path, append(all[:cut:cut], make([]byte, zeros)...), 0o600))
			j, err := openIn("boot 2", path, new(int))
			ok(t, err)
			if d := cmp.Diff(want.view, look(j), noTime); d != "" || j.Broken() != nil {
				t.Fatalf("cut at %d, %d zeros: %s", cut, zeros, d)
			}
			now, err := os.ReadFile(path)
			ok(t, err)
			if !bytes.HasPrefix(now, all[:want.end]) || len(all) > want.end && bytes.HasPrefix(now, all[:want.end+1]) && bytes.Contains(now[want.end:], all[want.end:min(want.end+frame+8, len(all))]) {
				t.Fatalf("cut at %d, %d zeros: what was lost is still in the file", cut, zeros)
			}
			// It works on, and says the same and the new when it is opened again.
			next := Key{"next", 1}
			ok(t, j.CupTaken(), j.Start(next, Note{Counter: -1}), j.End(next, Made, Reason{}), j.lock.Close())
			j, err = openIn("boot 3", path, new(int))
			ok(t, err)
			got := look(j)
			if s := j.State(next); s.Phase != Ended || len(got.Unconfirmed) != len(want.view.Unconfirmed)+1 {
				t.Fatalf("cut at %d, %d zeros: the drink after it is %v, unconfirmed %v", cut, zeros, s, got.Unconfirmed)
			}
			if d := cmp.Diff(want.view.States, got.States); d != "" {
				t.Fatalf("cut at %d, %d zeros, opened again: %s", cut, zeros, d)
			}
			ok(t, j.Close())
			clean(t, path)
		}
	}
}

// A cup of which nobody can say whose it is stands there only after another boot of
// the kernel without a Close.
func TestCupAfterAnotherBoot(t *testing.T) {
	for name, c := range map[string]struct {
		killed bool
		boot   string
		want   Key
	}{
		"closed, the same boot":  {false, "boot 1", Key{}},
		"closed, another boot":   {false, "boot 2", Key{}},
		"killed, the same boot":  {true, "boot 1", Key{}},
		"power cut":              {true, "boot 2", forgotten},
		"power cut, then killed": {true, "boot 2, and again", forgotten},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			j, err := openIn("boot 1", path, new(int))
			ok(t, err, j.Start(k1, Note{}), j.End(k1, Made, Reason{}), j.CupTaken())
			if c.killed {
				ok(t, j.lock.Close())
			} else {
				ok(t, j.Close())
			}
			boot, twice := strings.CutSuffix(c.boot, ", and again")
			j, err = openIn(boot, path, new(int))
			ok(t, err)
			if twice {
				ok(t, j.lock.Close())
				j, err = openIn(boot, path, new(int))
				ok(t, err)
			}
			defer j.Close()
			if cup, stands := j.CupStands(); cup != c.want || stands != (c.want != Key{}) {
				t.Errorf("the cup of %v stands there, want %v", cup, c.want)
			}
			// What comes now into no cup leaves the doubt, and who sees the place
			// empty ends it.
			ok(t, j.Start(k2, Note{}), j.End(k2, Untouched, Reason{}))
			if cup, _ := j.CupStands(); cup != c.want {
				t.Errorf("after nothing came into it: %v, want %v", cup, c.want)
			}
			ok(t, j.CupTaken())
			if cup, stands := j.CupStands(); stands {
				t.Errorf("%v still stands there", cup)
			}
		})
	}
}

// A file from before there were boots in it knows of none, and loses nothing.
func TestJournalWithoutABoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	b, _, err := assemble(header{"old", hw}, []payload{{Do: doStart, Order: k1.Order, Epoch: 1}, {Do: doEnd, Order: k1.Order, Epoch: 1, Outcome: Made}, {Do: doTaken, Order: k1.Order, Epoch: 1}})
	ok(t, err, os.WriteFile(path, b, 0o600))
	j := mustOpen(t, path)
	if cup, stands := j.CupStands(); stands || j.State(k1).Phase != Ended {
		t.Errorf("the cup of %v stands there, %v", cup, j.State(k1))
	}
}

// While an fsync hangs, as on a card that is worn, everything else goes on: the
// loop that has the metal asks the journal too.
func TestSyncHoldsNobodyUp(t *testing.T) {
	d := &hanging{disk: realDisk{}}
	j, err := open(d, filepath.Join(t.TempDir(), "journal"), named(hw), guard.Place{})
	ok(t, err)
	ok(t, j.Start(k1, Note{}), j.End(k1, Made, Reason{}))
	d.began, d.goOn = make(chan struct{}), make(chan struct{})
	result := make(chan error)
	go func() { result <- j.Sync() }()
	<-d.began
	ok(t, j.Confirm(k1), j.CupTaken(), j.Start(k2, Note{}), j.End(k2, Made, Reason{}), j.Broken())
	if _, stands := j.CupStands(); !stands || j.State(k2).Phase != Ended {
		t.Error("it does not know what was written meanwhile")
	}
	close(d.goOn)
	ok(t, <-result)
	if j.synced == j.seq || !j.owed[k2] {
		t.Error("what was written while it hung counts as on disk")
	}
	d.goOn = nil
	ok(t, j.Close())
}

// A Sync that fails is the end, as any failed write.
func TestSyncFails(t *testing.T) {
	d := &failing{disk: realDisk{}}
	j, err := open(d, filepath.Join(t.TempDir(), "journal"), named(hw), guard.Place{})
	ok(t, err, j.Start(k1, Note{}), j.End(k1, Made, Reason{}))
	d.at = d.n + 1
	if err := j.Sync(); !errors.Is(err, ErrBroken) || !errors.Is(err, errDisk) {
		t.Errorf("sync: %v", err)
	}
	if err := j.Sync(); !errors.Is(err, ErrBroken) || j.Broken() == nil {
		t.Errorf("the second sync says done about what the kernel has dropped: %v", err)
	}
	if err := j.Start(k2, Note{}); !errors.Is(err, ErrBroken) {
		t.Errorf("start: %v", err)
	}
	path, id := j.Path(), j.ID()
	ok(t, j.Close())
	written, err := os.ReadFile(path)
	ok(t, err)
	// The kernel still shows what it could not write, for as long as it likes. So this
	// journal is nobody's any more.
	j = mustOpen(t, path)
	if why, damaged := j.Damaged(); !damaged || !strings.Contains(why, "the disk did not take") || j.ID() == id || j.State(k1).Phase != None {
		t.Errorf("opened again: %q, the same id: %v, %v", why, j.ID() == id, j.State(k1))
	}
	if kept, err := os.ReadFile(path + ".damaged-1"); err != nil || !bytes.Equal(kept, written) {
		t.Errorf("it was not kept: %v", err)
	}
	id = j.ID()
	ok(t, j.AcceptDamage("zoe", "another card"), j.Start(k2, Note{}), j.Close())
	j = mustOpen(t, path)
	if why, damaged := j.Damaged(); damaged || j.ID() != id || j.State(k2).Phase != Started {
		t.Errorf("accepted, and then: %q, %v", why, j.State(k2))
	}
}

// hanging is a disk whose fsyncs wait for goOn, when it is set.
type hanging struct {
	disk
	began, goOn chan struct{}
}

type hangingFile struct {
	file
	d *hanging
}

func (d *hanging) extend(p string, size int64) (file, error) {
	f, err := d.disk.extend(p, size)
	return hangingFile{f, d}, err
}

func (f hangingFile) Sync() error {
	if f.d.goOn != nil {
		close(f.d.began)
		<-f.d.goOn
	}
	return f.file.Sync()
}

type past struct {
	end  int
	view view
}

// prefixes gives what a journal says after each of its records.
func prefixes(t testing.TB, b []byte) []past {
	x := newIndex()
	h, at, err := decodeHeader(b)
	ok(t, err)
	out := []past{{at, look(&Journal{x: x})}}
	for seq := uint64(1); at < len(b); seq++ {
		p, n, good := next(h.ID, seq, b[at:])
		if !good {
			t.Fatal("the sample is no good")
		}
		x.apply(p)
		x.open = append([]Record(nil), x.open...)
		at += n
		out = append(out, past{at, look(&Journal{x: x})})
	}
	return out
}

func clean(t testing.TB, path string) {
	files, err := filepath.Glob(path + "*")
	ok(t, err)
	for _, f := range files {
		if f != lockOf(path) { // it stays: a journal under another lock is a copy
			ok(t, os.Remove(f))
		}
	}
}

// A flipped bit is never read as something else: the journal is set aside,
// nothing starts, and a person's word is needed.
func TestFlipEveryBit(t *testing.T) {
	path := sample(t)
	b, err := os.ReadFile(path)
	ok(t, err)
	head, _, _, err := decode(b, func(payload) {})
	ok(t, err)
	for bit := range len(b) * 8 {
		bad := bytes.Clone(b)
		bad[bit/8] ^= 1 << (bit % 8)
		ok(t, os.WriteFile(path, bad, 0o600))
		j, err := openFast(path)
		ok(t, err)
		why, damaged := j.Damaged()
		if !damaged || j.ID() == head.ID || j.State(k1).Phase != None || len(j.Open())+len(j.Unconfirmed()) > 0 {
			t.Fatalf("bit %d of byte %d: damaged %v (%s), %v", bit%8, bit/8, damaged, why, look(j))
		}
		if err := j.Start(k4, Note{}); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d: started all the same: %v", bit, err)
		}
		ok(t, j.Close())
		if kept, err := os.ReadFile(path + ".damaged-1"); err != nil || !bytes.Equal(kept, bad) {
			t.Fatalf("bit %d: the damaged file was not kept: %v", bit, err)
		}
		clean(t, path)
	}
}

// Records lost, doubled or swapped in the middle are damage too.
func TestWrongSequence(t *testing.T) {
	path := sample(t)
	b, err := os.ReadFile(path)
	ok(t, err)
	var ends []int
	for _, p := range prefixes(t, b) {
		ends = append(ends, p.end)
	}
	for name, bad := range map[string][]byte{
		"lost":              append(b[:ends[1]:ends[1]], b[ends[2]:]...),
		"doubled":           append(b[:ends[2]:ends[2]], b[ends[1]:]...),
		"doubled at end":    append(b[:len(b):len(b)], b[ends[len(ends)-2]:]...),
		"zeros in it":       append(append(b[:ends[2]:ends[2]], make([]byte, 64)...), b[ends[2]:]...),
		"hole, torn end":    append(append(b[:ends[2]:ends[2]], make([]byte, ends[3]-ends[2])...), b[ends[3]:len(b)-5]...),
		"of another one":    append(b[:ends[0]:ends[0]], other(t)...),
		"text behind it":    append(b[:len(b):len(b)], "and so on, for longer than a header\n"...),
		"not a journal":     []byte("hello\n"),
		"empty":             {},
		"a version of zero": append([]byte("barista\x00"), b[8:]...),
	} {
		ok(t, os.WriteFile(path, bad, 0o600))
		j, err := Open(path, named(hw), guard.Place{})
		ok(t, err)
		if why, damaged := j.Damaged(); !damaged {
			t.Errorf("%s: not seen", name)
		} else if !strings.Contains(why, "journal.damaged-1") {
			t.Errorf("%s: %q does not say where the file went", name, why)
		}
		ok(t, j.Close())
		clean(t, path)
	}
}

// other gives the records of another journal.
func other(t testing.TB) []byte {
	b, err := os.ReadFile(sample(t))
	ok(t, err)
	_, at, err := decodeHeader(b)
	ok(t, err)
	return b[at:]
}

func TestAcceptDamage(t *testing.T) {
	path := sample(t)
	ok(t, os.WriteFile(path, []byte("scratched\n"), 0o600))
	j := mustOpen(t, path)
	id := j.ID()
	ok(t, j.Close())
	j = mustOpen(t, path) // it stays damaged over a restart, and is not set aside twice
	if _, damaged := j.Damaged(); !damaged || j.ID() != id {
		t.Fatal("a restart accepted the damage")
	}
	if j.AcceptDamage("", "why") == nil || j.AcceptDamage("zoe", " ") == nil {
		t.Error("accepted without name or reason")
	}
	ok(t, j.AcceptDamage("zoe", "looked at the machine"), j.AcceptDamage("zoe", "again"), j.Start(k1, Note{}), j.Close())
	j = mustOpen(t, path)
	if why, damaged := j.Damaged(); damaged || j.State(k1).Phase != Started {
		t.Errorf("accepted, and then: %q, %v", why, j.State(k1))
	}
	aside, _ := filepath.Glob(path + ".damaged-*")
	if len(aside) != 1 {
		t.Errorf("kept aside: %v", aside)
	}
	ok(t, j.Close(), os.WriteFile(path, []byte("again\n"), 0o600))
	mustOpen(t, path)
	if aside, _ = filepath.Glob(path + ".damaged-*"); len(aside) != 2 {
		t.Errorf("the second damaged file: %v", aside)
	}
}

func TestOtherHardware(t *testing.T) {
	path := sample(t)
	j, err := Open(path, named("mock m1 0002"), guard.Place{})
	ok(t, err)
	defer j.Close()
	why, damaged := j.Damaged()
	if !damaged || !strings.Contains(why, "0001") || !strings.Contains(why, "0002") || j.Hardware() != "mock m1 0002" {
		t.Errorf("%v %q", damaged, why)
	}
}

func TestLaterVersion(t *testing.T) {
	b, err := os.ReadFile(sample(t))
	ok(t, err)
	h := header{"x", hw}.encode()
	h[7] = 2
	crc := sumOf(h[:len(h)-4])
	copy(h[len(h)-4:], crc)
	path := filepath.Join(t.TempDir(), "journal")
	file := append(h, b...)
	ok(t, os.WriteFile(path, file, 0o600))
	if _, err := Open(path, named(hw), guard.Place{}); !errors.Is(err, errVersion) {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, file) {
		t.Error("it was touched")
	}
}

// failing strikes the n-th operation of the disk, with half of a write done.
type failing struct {
	disk
	at, n  int
	cut    bool // a power cut: from then on nothing works
	struck bool // the n-th was an fsync of the open journal
}

var errDisk = errors.New("input/output error")

func (d *failing) op() error {
	if d.n++; d.n == d.at || d.cut && d.n > d.at {
		return errDisk
	}
	return nil
}

type failingFile struct {
	file
	d       *failing
	journal bool // not one that is to replace it
}

func (d *failing) wrap(journal bool, f file, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	if err := d.op(); err != nil {
		f.Close()
		return nil, err
	}
	return failingFile{f, d, journal}, nil
}

func (d *failing) create(p string) (file, error) {
	if d.cut && d.n >= d.at {
		return nil, d.op()
	}
	f, err := d.disk.create(p)
	return d.wrap(false, f, err)
}

func (d *failing) extend(p string, size int64) (file, error) {
	f, err := d.disk.extend(p, size)
	return d.wrap(true, f, err)
}

func (d *failing) syncDir(dir string) error { return errors.Join(d.op(), d.disk.syncDir(dir)) }

func (f failingFile) Write(b []byte) (int, error) {
	if err := f.d.op(); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f failingFile) Sync() error {
	err := f.d.op()
	if err != nil {
		f.d.struck = f.journal
	}
	return errors.Join(err, f.file.Sync())
}

// The n-th operation fails, for every n: what was said to be written is there
// after opening anew, nothing is tried again, and nothing is invented.
func TestEveryOperationFails(t *testing.T) {
	lostOnes := 0
	for n := 1; ; n++ {
		path := filepath.Join(t.TempDir(), "journal")
		d := &failing{disk: realDisk{}, at: n}
		said := map[Key]Phase{}
		asked := map[Key]bool{}
		j, err := open(d, path, named(hw), guard.Place{})
		if err == nil {
			broken := false
			step := func(k Key, p Phase, err error) {
				switch {
				case err == nil && broken:
					t.Fatalf("n=%d: %v %s worked after an error", n, k, p)
				case err == nil:
					said[k] = p
				default:
					broken = true
					if !errors.Is(err, ErrBroken) || j.Broken() == nil {
						t.Fatalf("n=%d: %v", n, err)
					}
				}
			}
			for i := range 3 {
				k := Key{fmt.Sprint("order", i), 1}
				asked[k] = true
				step(k, Started, j.Start(k, Note{Counter: -1}))
				if !broken {
					step(k, Ended, j.End(k, Made, Reason{}))
				}
				if !broken {
					step(k, Confirmed, j.Confirm(k))
				}
			}
			j.Close()
		}
		_, err = os.Stat(path + ".lost")
		lost := err == nil
		if lost != d.struck {
			t.Fatalf("n=%d: an fsync failed: %v, and something was lost: %v", n, d.struck, lost)
		}
		again, err := Open(path, named(hw), guard.Place{})
		ok(t, err)
		if lost {
			lostOnes++
			if _, damaged := again.Damaged(); !damaged || again.State(Key{"order0", 1}).Phase != None || j != nil && again.ID() == j.ID() {
				t.Fatalf("n=%d: an fsync failed, and the journal is believed", n)
			}
			ok(t, again.Close())
			continue
		}
		rank := map[Phase]int{None: 0, Started: 1, Ended: 2, Confirmed: 3}
		for k := range asked {
			if got := again.State(k); rank[got.Phase] < rank[said[k]] || rank[got.Phase] > rank[said[k]]+1 {
				t.Fatalf("n=%d: %v is %v, said was %q", n, k, got, said[k])
			}
		}
		if why, damaged := again.Damaged(); damaged {
			t.Fatalf("n=%d: %s", n, why)
		}
		ok(t, again.Close())
		if d.n < n {
			if n < 10 || lostOnes < 2 {
				t.Fatalf("only %d operations were struck, %d of them a last fsync", n-1, lostOnes)
			}
			return
		}
	}
}

// big fills a journal with confirmed drinks, quickly.
func big(t testing.TB, path string, drinks int) (header, []Key) {
	h := header{"bigjournal", hw}
	var keys []Key
	var all []payload
	open := Key{"open", 1}
	all = append(all, payload{Do: doStart, Order: open.Order, Epoch: 1, What: "left open long ago"})
	ended := Key{"ended", 1}
	all = append(all, payload{Do: doStart, Order: ended.Order, Epoch: 1}, payload{Do: doEnd, Order: ended.Order, Epoch: 1, Outcome: Spoiled, Reason: "jam"})
	for i := range drinks {
		k := Key{fmt.Sprintf("01JD%022d", i), 1}
		keys = append(keys, k)
		all = append(all, payload{Do: doStart, Order: k.Order, Epoch: 1, At: stamp()},
			payload{Do: doEnd, Order: k.Order, Epoch: 1, Outcome: Made},
			payload{Do: doConfirm, Order: k.Order, Epoch: 1})
	}
	b, _, err := assemble(h, all)
	ok(t, err)
	ok(t, os.WriteFile(path, b, 0o600))
	return h, keys
}

func TestCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h, keys := big(t, path, keep+500)
	before, err := os.Stat(path)
	ok(t, err)
	for round := range 3 {
		j := mustOpen(t, path)
		if j.ID() != h.ID {
			t.Fatal("compaction changed the id")
		}
		for i, k := range keys {
			want := State{Confirmed, Made, Reason{}}
			// The two open ones came first, so all of the last 10,000 are drinks.
			if i < 500 {
				want = State{Phase: None}
			}
			if got := j.State(k); got != want {
				t.Fatalf("round %d: drink %d is %v, want %v", round, i, got, want)
			}
			if got := j.Latest(k.Order); got > 0 != (i >= 500) {
				t.Fatalf("round %d: the latest epoch of drink %d is %d", round, i, got)
			}
		}
		if d := cmp.Diff([]Record{{Key: Key{"open", 1}, Note: Note{-1, 0, "left open long ago"}}}, j.Open(), noTime); d != "" {
			t.Error(d)
		}
		if u := j.Unconfirmed(); len(u) != 1 || u[0].Reason.Quote != "jam" {
			t.Errorf("unconfirmed: %v", u)
		}
		if j.Latest("open") != 1 || j.Latest("ended") != 1 {
			t.Error("what is not settled is not known any more")
		}
		if cup, _ := j.CupStands(); cup != keys[len(keys)-1] {
			t.Errorf("round %d: the cup of %v, want the last one", round, cup)
		}
		if round == 0 { // too little to compact again
			k := Key{"new", 1}
			ok(t, j.Start(k, Note{Counter: -1}), j.End(k, Untouched, Reason{Quote: "no"}), j.Confirm(k))
		}
		ok(t, j.Close())
	}
	after, err := os.Stat(path)
	ok(t, err)
	if after.Size() > before.Size()/2 {
		t.Errorf("%d bytes of %d are left", after.Size(), before.Size())
	}
}

// Compaction does not forget under which boot the last records were written.
func TestCompactionKeepsTheDoubt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	big(t, path, keep+500)
	j, err := openIn("boot 1", path, new(int))
	ok(t, err, j.lock.Close())
	// A longer one, so that opening it compacts again.
	b, err := os.ReadFile(path)
	ok(t, err)
	head, seq, _, err := decode(b, func(payload) {})
	ok(t, err)
	for i := range keep {
		r, err := encode(head.ID, seq+uint64(i)+1, payload{Do: doConfirm, Order: k1.Order, Epoch: 1, Reason: "says nothing new"})
		ok(t, err)
		b = append(b, r...)
	}
	ok(t, os.WriteFile(path, b, 0o600))
	j, err = openIn("boot 2", path, new(int))
	ok(t, err)
	defer j.Close()
	if cup, _ := j.CupStands(); cup != forgotten {
		t.Errorf("after a power cut and a compaction the cup of %v stands there", cup)
	}
	if st, err := os.Stat(path); err != nil || st.Size() >= int64(len(b)) {
		t.Error("it was not compacted: the test is blind")
	}
}

// Compaction that fails at any operation leaves the old file or the new one.
func TestCompactionFails(t *testing.T) {
	for n := 1; ; n++ {
		path := filepath.Join(t.TempDir(), "journal")
		_, keys := big(t, path, 4000)
		d := &failing{disk: realDisk{}, at: n, cut: true}
		j, err := open(d, path, named(hw), guard.Place{})
		if err == nil {
			j.Close()
		}
		j = mustOpen(t, path)
		if _, damaged := j.Damaged(); damaged || j.State(keys[0]).Phase != Confirmed || len(j.Open()) != 1 || len(j.Unconfirmed()) != 1 {
			t.Fatalf("n=%d: %v, %v", n, j.Open(), j.Unconfirmed())
		}
		if d.n < n {
			return
		}
	}
}

// Reading the same records twice is reading them once; and compaction says the
// same as what it was made of.
func TestReplayTwice(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		keys := []Key{k1, k2, k3, {"other", 7}}
		var all []payload
		x := newIndex()
		for range rapid.IntRange(0, 40).Draw(r, "n") {
			k := rapid.SampledFrom(keys).Draw(r, "key")
			p := payload{Order: k.Order, Epoch: k.Epoch}
			p.Do = rapid.SampledFrom([]string{doStart, doEnd, doConfirm, doTaken}).Draw(r, "do")
			if p.Do == doEnd {
				p.Outcome = rapid.SampledFrom([]Outcome{Made, Spoiled, Untouched, Unknown}).Draw(r, "out")
			}
			// Only what an open journal would write.
			switch s := x.state(k).Phase; {
			case p.Do == doStart && s != None, p.Do == doEnd && s != Started, p.Do == doConfirm && s != Ended, p.Do == doTaken && x.dirty != k:
				continue
			}
			all = append(all, p)
			x.apply(p)
		}
		twice, small := newIndex(), newIndex()
		for range 2 {
			for _, p := range all {
				twice.apply(p)
			}
		}
		for range 2 {
			for _, p := range x.compact(100) {
				small.apply(p)
			}
		}
		see := func(x *index) view { return look(&Journal{x: x}) }
		if d := cmp.Diff(see(x), see(twice)); d != "" {
			r.Fatalf("twice: %s", d)
		}
		if d := cmp.Diff(see(x), see(small)); d != "" {
			r.Fatalf("compacted: %s", d)
		}
	})
}

// Whatever the bytes: no panic, bounded memory, and every record that is read
// was written under this journal's check sum.
func FuzzDecode(f *testing.F) {
	b, err := os.ReadFile(sample(f))
	ok(f, err)
	f.Add(b)
	f.Add(b[:len(b)-9])
	f.Add(append(bytes.Clone(b), make([]byte, 100)...))
	f.Add(append(header{"x", hw}.encode(), 0, 0, 0x3f, 0xff))
	f.Add([]byte(magic + "\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := 0
		h, seq, good, err := decode(b, func(payload) { n++ })
		runtime.ReadMemStats(&after)
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(1+len(b)/4096)<<20; used > most {
			t.Errorf("%d bytes for an input of %d", used, len(b))
		}
		if good > len(b) || uint64(n) != seq {
			t.Fatalf("good up to %d of %d, %d records, sequence %d", good, len(b), n, seq)
		}
		if err != nil {
			return
		}
		// What is good, alone, reads the same.
		var m int
		if _, s, g, err := decode(b[:good], func(payload) { m++ }); err != nil || s != seq || g != good || m != n {
			t.Fatalf("the good part of %q reads differently: %d %d %v", h.ID, s, g, err)
		}
	})
}

func TestTextIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, path)
	long := strings.Repeat("\x00", 100_000)
	ok(t, j.Start(k1, Note{What: long}), j.End(k1, Spoiled, Reason{Quote: long}), j.Close())
	if s := mustOpen(t, path).State(k1); s.Phase != Ended || len(s.Reason.Quote) > maxText {
		t.Errorf("%v, %d bytes", s.Phase, len(s.Reason.Quote))
	}
	j = mustOpen(t, filepath.Join(t.TempDir(), "journal"))
	if err := j.Start(Key{strings.Repeat("x", maxPayload), 1}, Note{}); err == nil || j.Broken() != nil {
		t.Errorf("a key without end: %v, broken: %v", err, j.Broken())
	}
}

func sumOf(b []byte) []byte {
	c := crc32.Checksum(b, castagnoli)
	return []byte{byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)}
}

// A record from before there were codes has the whole sentence, and keeps it over a
// compaction.
func TestEndWithoutACode(t *testing.T) {
	const old = `{"do":"end","order":"o1","epoch":1,"outcome":"spoiled","reason":"no-flow: The pump runs and no water comes."}`
	var p payload
	if err := json.Unmarshal([]byte(old), &p); err != nil {
		t.Fatal(err)
	}
	want := State{Ended, Spoiled, Reason{Quote: "no-flow: The pump runs and no water comes."}}
	for range 2 {
		x := newIndex()
		x.apply(payload{Do: doStart, Order: "o1", Epoch: 1})
		x.apply(p)
		if got := x.state(Key{"o1", 1}); got != want {
			t.Errorf("%+v", got)
		}
		p = x.compact(1)[1]
	}
	if b, _ := json.Marshal(p); string(b) != old {
		t.Errorf("%s", b)
	}
}
