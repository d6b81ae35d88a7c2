package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"barista/driver/guard"
)

// file is what the journal needs of an open file.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// disk is the folder of a journal. Tests put one in whose n-th write or fsync
// fails.
type disk interface {
	// create makes an empty file, or empties it.
	create(path string) (file, error)
	// extend opens a file for writing at its end, which is cut to size first.
	extend(path string, size int64) (file, error)
	// syncDir makes names in the folder durable.
	syncDir(dir string) error
	// boot names the run of the kernel that holds what is not on the disk yet. One
	// that has no name equals no other.
	boot() string
	// held names the lock of a journal among all files that this computer ever had,
	// copies of it too; "": it can't.
	held(path string) string
}

type realDisk struct{}

func (realDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (realDisk) extend(path string, size int64) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.Size() != size {
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (realDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (realDisk) boot() string {
	return cmp.Or(guard.BootID(), "process-"+strings.ToLower(rand.Text()))
}

func (realDisk) held(path string) string {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, lockOf(path), 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return ""
	}
	return nameOf(st)
}

// nameOf tells a file from every other one, by when it was born too: where one was
// deleted, the next one gets its number. A file system that keeps no births tells
// all but those apart.
func nameOf(st unix.Statx_t) string {
	switch {
	case st.Mask&unix.STATX_INO == 0:
		return ""
	case st.Mask&unix.STATX_BTIME == 0: // what stands in its place is nothing
		return fmt.Sprintf("%d-0.0", st.Ino)
	}
	return fmt.Sprintf("%d-%d.%d", st.Ino, st.Btime.Sec, st.Btime.Nsec)
}

func lockOf(path string) string { return path + ".lock" }

// lock takes the journal for this process. The lock stands on a file beside the
// journal, because the journal itself is replaced by compaction, and a lock
// belongs to a file and not to its name.
func lock(path string) (*flock.Flock, error) {
	l := flock.New(lockOf(path))
	free, err := l.TryLock()
	if err == nil && !free {
		err = ErrLocked
	}
	return l, err
}

// replace puts a new file with these bytes in the place of path, or leaves the
// old one untouched.
func replace(d disk, path string, b []byte) error {
	next := path + ".new"
	f, err := d.create(next)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// keepAside gives the file a second name, journal.damaged-N, under which it
// stays when path is replaced. No moment has neither.
func keepAside(path string) (string, error) {
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s.damaged-%d", path, n)
		err := os.Link(path, aside)
		if err == nil {
			return aside, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		// A crash between this and the replacing leaves the same file there.
		a, errA := os.Stat(aside)
		b, errB := os.Stat(path)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return aside, nil
		}
	}
}
