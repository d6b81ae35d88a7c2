// Package link is a serial port that a program plays: a pseudo-terminal whose
// other side is a simulator, under a path that the host's program opens like any
// serial port. The simulators of the serial boards and the tests use it.
//
// Make makes the port; Close takes it away, which the host sees as a pulled
// cable. What was written by the host waits in the kernel until somebody reads
// it, so a simulator that is slow loses nothing. A link knows no protocol and
// has no goroutine. It must not be offered to strangers: whoever may open the
// path talks to the simulator.
package link

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Link is the simulator's side of a serial port. One goroutine reads, another
// one writes.
type Link struct {
	master *os.File
	slave  *os.File // keeps the settings while no host has it open
	path   string   // of the symbolic link; "" is none
	once   sync.Once
	err    error

	// The reader's.
	freed time.Time
	empty time.Time // when there was certainly nothing to read
}

// Make makes a port and, if path is not empty, a symbolic link to it there. An
// old link to a pseudo-terminal is replaced; nothing else is.
func Make(path string) (*Link, error) {
	m, s, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("can't make a simulated serial port: %w", err)
	}
	l := &Link{slave: s, path: path}
	if err := l.prepare(m); err != nil {
		return nil, errors.Join(fmt.Errorf("can't make a simulated serial port: %w", err), m.Close(), s.Close())
	}
	if err := l.name(); err != nil {
		return nil, errors.Join(fmt.Errorf("can't offer a simulated serial port at %s: %w", path, err), l.master.Close(), s.Close())
	}
	return l, nil
}

// prepare makes the line raw (a fresh one echoes) and gives the master to the
// runtime's poller, so that closing it ends a read.
func (l *Link) prepare(m *os.File) error {
	fd := int(l.slave.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return err
	}
	n, err := unix.FcntlInt(m.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(n, true); err != nil {
		return errors.Join(err, unix.Close(n))
	}
	l.master = os.NewFile(uintptr(n), m.Name())
	return m.Close()
}

func (l *Link) name() error {
	if l.path == "" {
		return nil
	}
	old, err := os.Readlink(l.path)
	switch {
	case err == nil && strings.HasPrefix(old, "/dev/pts/"):
	case err == nil, !errors.Is(err, fs.ErrNotExist):
		return errors.New("something else is there already; remove it or choose another path")
	}
	// Renaming replaces: a host that looks for the path never finds half of it.
	return renameio.Symlink(l.slave.Name(), l.path)
}

// Device is what the host opens: the path, or the pseudo-terminal itself.
func (l *Link) Device() string {
	if l.path == "" {
		return l.slave.Name()
	}
	if abs, err := filepath.Abs(l.path); err == nil {
		return abs
	}
	return l.path
}

const (
	// lookEvery is how often Read looks when nothing wakes it. The kernel hands over
	// what the host wrote by a thread of its own, which comes late on a busy computer;
	// a read that finds nothing has waited for it, so nothing was written before.
	lookEvery = 10 * time.Millisecond
	freeEvery = time.Second
)

// Read returns what the host sent, at least one byte.
func (l *Link) Read(p []byte) (int, error) {
	raw, err := l.master.SyscallConn()
	if err != nil {
		return 0, err
	}
	for {
		now := time.Now()
		if now.Sub(l.freed) >= freeEvery {
			l.free()
			l.freed = now
		}
		n, failed := 0, error(unix.EAGAIN)
		// In the thread that looks: the runtime's timers would cost more.
		if err := raw.Control(func(fd uintptr) {
			if n, failed = unix.Read(int(fd), p); failed == unix.EAGAIN {
				l.empty = now
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(lookEvery/time.Millisecond))
			}
		}); err != nil {
			return 0, err
		}
		switch {
		case failed == unix.EAGAIN || failed == unix.EINTR:
			continue
		case failed != nil:
			return 0, fmt.Errorf("the simulated serial port: %w", failed)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Since is when the line was last seen empty: what the newest Read brought was
// written later. For whoever reads.
func (l *Link) Since() time.Time { return l.empty }

// free takes back the exclusive mode that a host which was killed left behind. A
// real port loses it when nobody has it open any more; this one we hold open
// ourselves.
func (l *Link) free() {
	if raw, err := l.slave.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.IoctlRetInt(int(fd), unix.TIOCNXCL) })
	}
}

// Write sends to the host. A host that does not read fills the kernel's buffer:
// then it gives up after 100 ms.
func (l *Link) Write(p []byte) (int, error) {
	if err := l.master.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	return l.master.Write(p)
}

// Close pulls the cable: the host's port is dead, and the path is gone.
func (l *Link) Close() error {
	l.once.Do(func() {
		var errs []error
		if now, err := os.Readlink(l.path); err == nil && now == l.slave.Name() {
			errs = append(errs, os.Remove(l.path))
		}
		l.err = errors.Join(append(errs, l.master.Close(), l.slave.Close())...)
	})
	return l.err
}
