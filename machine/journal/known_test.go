package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"barista/driver/guard"
)

// place is how far a journal has come.
func place(j *Journal) guard.Place {
	written, _ := j.Place()
	return written
}

// What another memory knows of a journal must be there: an older copy, another
// journal, and none, are damage; the same one, or one that has come further, is not.
func TestKnown(t *testing.T) {
	for name, c := range map[string]struct {
		put  func(t *testing.T, path string, old []byte)
		less uint64 // than it had come, known
		want string
	}{
		"the same":        {nil, 0, ""},
		"it knows less":   {nil, 2, ""},
		"an older copy":   {func(t *testing.T, path string, old []byte) { put(t, path, old) }, 0, "an older copy"},
		"one record less": {func(t *testing.T, path string, _ []byte) { cutOne(t, path) }, 0, "an older copy"},
		"gone":            {func(t *testing.T, path string, _ []byte) { ok(t, os.Remove(path)) }, 0, "it is gone"},
		"another one":     {func(t *testing.T, path string, _ []byte) { ok(t, os.Remove(path)); mustOpen(t, path).Close() }, 0, "another one"},
		"an older one, of which nothing more is known": {func(t *testing.T, path string, old []byte) { put(t, path, old) }, 1 << 40, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			j := mustOpen(t, path)
			ok(t, j.Start(k1, Note{}), j.End(k1, Made, Reason{}))
			old, err := os.ReadFile(path)
			ok(t, err, j.Start(k2, Note{}), j.End(k2, Made, Reason{}))
			known := place(j)
			known.At -= min(c.less, known.At)
			id := j.ID()
			ok(t, j.lock.Close()) // killed
			if c.put != nil {
				c.put(t, path, old)
			}
			for range 2 { // killed before anybody was told that it is another one
				j, err = Open(path, named(hw), known)
				ok(t, err)
				why, damaged := j.Damaged()
				if damaged != (c.want != "") || !strings.Contains(why, c.want) || (j.ID() != id) != damaged {
					t.Errorf("damaged %v: %q, the same id %v", damaged, why, j.ID() == id)
				}
				if err := j.Start(k3, Note{}); errors.Is(err, ErrDamaged) != damaged {
					t.Errorf("start: %v", err)
				}
				ok(t, j.lock.Close())
			}
			aside, err := filepath.Glob(path + ".damaged-*")
			ok(t, err)
			if c.want != "" && len(aside) > 1 {
				t.Errorf("set aside twice: %v", aside)
			}
			j, err = Open(path, named(hw), known)
			ok(t, err, j.AcceptDamage("zoe", "looked at it"), j.Close())
			j, err = Open(path, named(hw), place(j))
			ok(t, err)
			if why, damaged := j.Damaged(); damaged {
				t.Errorf("accepted, and then: %s", why)
			}
			ok(t, j.Close())
		})
	}
}

// put writes over what is there, as a copy that is put back does.
func put(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	ok(t, err)
	_, err = f.Write(b)
	ok(t, err, f.Truncate(int64(len(b))), f.Close())
}

// cutOne takes the last record.
func cutOne(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	history := prefixes(t, b)
	put(t, path, b[:history[len(history)-2].end])
}

// A journal never goes back by itself: not by a kill, not by its compaction, not by
// a power cut behind what is on disk.
func TestPlaceOnlyGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := openIn("boot 1", path, new(int))
	ok(t, err)
	for i := range 9000 {
		k := Key{fmt.Sprintf("o%d", i), 1}
		ok(t, j.Start(k, Note{Counter: -1, What: "a drink of some words, as they all are"}), j.End(k, Made, Reason{}), j.Confirm(k))
	}
	ok(t, j.Note(guard.Place{ID: "g", At: 4}))
	long, err := os.Stat(path)
	ok(t, err)
	was, written := place(j), uint64(9000*3)
	if was.At < written {
		t.Errorf("%d records are written, and it says %v", written, was)
	}
	ok(t, j.lock.Close())
	j, err = open(fast{realDisk{}, new(int), "boot 1"}, path, named(hw), was)
	ok(t, err)
	if short, err := os.Stat(path); err != nil || short.Size() > long.Size()/2 {
		t.Fatal("it was not compacted: the test is blind")
	}
	if why, damaged := j.Damaged(); damaged {
		t.Fatalf("compacted, and then: %s", why)
	}
	if now := place(j); now.At < was.At || j.Guard() != (guard.Place{ID: "g", At: 4}) {
		t.Errorf("it was at %v and is at %v; it knows %v", was, now, j.Guard())
	}
	_, durable := j.Place()
	ok(t, j.Start(k1, Note{}))
	if written, still := j.Place(); still != durable || written.At != durable.At+1 {
		t.Errorf("a start is on disk at once: %v, %v, was %v", written, still, durable)
	}
	ok(t, j.Sync())
	if written, durable := j.Place(); written != durable {
		t.Errorf("synced: %v, %v", written, durable)
	}
	synced, err := os.ReadFile(path)
	ok(t, err)
	_, durable = j.Place()
	ok(t, j.End(k1, Made, Reason{}), j.lock.Close())
	put(t, path, synced)
	j, err = open(fast{realDisk{}, new(int), "boot 2"}, path, named(hw), durable)
	ok(t, err)
	if why, damaged := j.Damaged(); damaged {
		t.Errorf("after a power cut: %s", why)
	}
	ok(t, j.Close())
}

// What the kernel did not say of a lock is no part of its name.
func TestNameOfALock(t *testing.T) {
	st := unix.Statx_t{Mask: unix.STATX_INO | unix.STATX_BTIME, Ino: 7, Btime: unix.StatxTimestamp{Sec: 5, Nsec: 3}}
	for mask, want := range map[uint32]string{unix.STATX_INO | unix.STATX_BTIME: "7-5.3", unix.STATX_INO: "7-0.0", unix.STATX_BTIME: "", 0: ""} {
		if st.Mask = mask; nameOf(st) != want {
			t.Errorf("%x: %q, want %q", mask, nameOf(st), want)
		}
	}
}

// A folder that was copied while the kernel runs is not believed: neither of the two
// can know that the other one is not used. The same folder, moved or not, is.
func TestCopied(t *testing.T) {
	for name, c := range map[string]struct {
		closed bool
		boot   string
		move   func(from, to string) error
		want   bool
	}{
		"copied":                         {false, "boot 1", copyFolder, true},
		"copied when it was closed":      {true, "boot 1", copyFolder, true},
		"copied, and the power was away": {false, "boot 2", copyFolder, false},
		"put back from a copy":           {false, "boot 1", putBack, true},
		"moved":                          {false, "boot 1", os.Rename, false},
		"its lock was deleted":           {true, "boot 1", noLock, true},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
			ok(t, os.Mkdir(from, 0o700))
			j, err := openIn("boot 1", filepath.Join(from, "journal"), new(int))
			ok(t, err, j.Start(k1, Note{}))
			id := j.ID()
			if c.closed {
				ok(t, j.Close())
			} else {
				ok(t, j.lock.Close())
			}
			ok(t, c.move(from, to))
			j, err = openIn(c.boot, filepath.Join(to, "journal"), new(int))
			ok(t, err)
			why, damaged := j.Damaged()
			if damaged != c.want || damaged && !(strings.Contains(why, "a copy") && strings.Contains(why, "journal.lock was deleted")) || (j.ID() != id) != damaged {
				t.Errorf("damaged %v: %s", damaged, why)
			}
			ok(t, j.AcceptDamage("zoe", "the other one is switched off"), j.lock.Close())
			j, err = openIn(c.boot, filepath.Join(to, "journal"), new(int))
			ok(t, err)
			if why, damaged := j.Damaged(); damaged {
				t.Errorf("accepted, and then: %s", why)
			}
			ok(t, j.Close())
		})
	}
}

func noLock(from, to string) error {
	return errors.Join(os.Rename(from, to), os.Remove(lockOf(filepath.Join(to, "journal"))))
}

func copyFolder(from, to string) error { return os.CopyFS(to, os.DirFS(from)) }

// putBack is a folder that was deleted and comes from a copy: its files may get the
// numbers of those that were.
func putBack(from, to string) error {
	aside := to + ".copy"
	return errors.Join(copyFolder(from, aside), os.RemoveAll(from), copyFolder(aside, to))
}
