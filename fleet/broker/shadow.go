package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// shadowFolder holds a second name of every file of the streams while a server
// opens the store.
const shadowFolder = "opening"

// shadow keeps the streams of a store over the server's start. A server that can't
// open a stream for the file system's sake (a folder in the way, no right, no space
// for the file by which it tries) removes all of it and goes on (seen with 2.15.2).
// Hard links cost no space and no time, and what they name can't be removed.
type shadow struct {
	store string
	log   *slog.Logger
	link  func(from, to string) error // os.Link
	watch []string                    // one file or folder of each stream that was there
}

func (s *shadow) folder() string { return filepath.Join(s.store, shadowFolder) }

// begin links what is there. A file system without links has no shadow; then gone
// still sees what the server removed.
func (s *shadow) begin() error {
	err := eachStream(lives(s.store), func(folder string) error {
		s.watch = append(s.watch, folder)
		if meta := filepath.Join(folder, server.JetStreamMetaFile); there(meta) {
			s.watch[len(s.watch)-1] = meta // the first to go
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = eachStream(lives(s.store), func(folder string) error {
		return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := filepath.Join(s.folder(), strings.TrimPrefix(path, lives(s.store)))
			if d.IsDir() {
				return os.MkdirAll(name, 0o700)
			}
			return s.link(path, name)
		})
	})
	if err == nil {
		return nil
	}
	if noLinks(err) {
		s.log.Warn("the store is opened without a second name of its files", "err", err)
		return s.end()
	}
	return errors.Join(fmt.Errorf("its files can't be kept over the start: %w", err), s.end())
}

// noLinks reports whether a file system has no hard links at all.
func noLinks(err error) bool {
	var link *os.LinkError
	return errors.As(err, &link) && slices.ContainsFunc([]error{syscall.EPERM, syscall.ENOTSUP, syscall.EXDEV, syscall.ENOSYS},
		func(no error) bool { return errors.Is(link.Err, no) })
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// gone names the streams that were there and are not any more.
func (s *shadow) gone() (names []string) {
	for _, path := range s.watch {
		if !there(path) {
			names = append(names, filepath.Base(strings.TrimSuffix(path, server.JetStreamMetaFile)))
		}
	}
	return names
}

// putBack puts back what a start has lost, and takes the second names away. If it
// can't, they stay, for the next start or a person: they are all that is left.
func (s *shadow) putBack() error {
	if err := eachStream(s.folder(), s.restore); err != nil {
		return fmt.Errorf("what a start has lost can't be put back: %w; it is kept in %s: mend what that says and start again", err, s.folder())
	}
	return s.end()
}

// restore puts back what is missing of a stream, if that is of its description or its
// messages: the rest comes and goes with a healthy server. A block that was removed
// for its age is, too; the server removes it again.
func (s *shadow) restore(kept string) error {
	var missing []string
	lost := false
	err := filepath.WalkDir(kept, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		_, err = os.Lstat(s.live(path))
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, path)
		lost = lost || strings.HasSuffix(path, ".blk") ||
			filepath.Dir(path) == kept && (d.Name() == server.JetStreamMetaFile || d.Name() == server.JetStreamMetaFileSum)
		return nil
	})
	if err != nil || !lost {
		return err
	}
	s.log.Error("files of a stream that a start has lost are put back", "stream", filepath.Base(kept), "files", len(missing))
	// Backwards, so that a part of what tells the loss comes last: this may be broken
	// off, too.
	for _, path := range slices.Backward(missing) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(s.live(path)), 0o700), os.Rename(path, s.live(path))); err != nil {
			return err
		}
	}
	return nil
}

// live is where a file of the shadow lives.
func (s *shadow) live(kept string) string {
	return filepath.Join(lives(s.store), strings.TrimPrefix(kept, s.folder()))
}

// end takes the second names away.
func (s *shadow) end() error { return os.RemoveAll(s.folder()) }
