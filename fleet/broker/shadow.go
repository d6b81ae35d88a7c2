package broker

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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
}

func (s shadow) folder() string { return filepath.Join(s.store, shadowFolder) }

// begin puts back what a start that broke off has lost, and links what is there. A
// file system without links has no shadow.
func (s shadow) begin() error {
	if err := errors.Join(s.restore(), s.end()); err != nil {
		return err
	}
	return eachStream(lives(s.store), func(folder string) error {
		to := filepath.Join(s.folder(), strings.TrimPrefix(folder, lives(s.store)))
		return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := filepath.Join(to, strings.TrimPrefix(path, folder))
			if d.IsDir() {
				return os.MkdirAll(name, 0o700)
			}
			if err := os.Link(path, name); err != nil {
				s.log.Warn("the store is opened without a second name of its files", "err", err)
				if err := s.end(); err != nil {
					return err
				}
				return fs.SkipAll
			}
			return nil
		})
	})
}

// gone names the streams that were there and are not any more.
func (s shadow) gone() (names []string) {
	_ = eachStream(s.folder(), func(kept string) error {
		there := s.there(kept)
		if _, err := os.Lstat(there); errors.Is(err, fs.ErrNotExist) {
			names = append(names, filepath.Base(there))
		}
		return nil
	})
	return names
}

// restore puts them back.
func (s shadow) restore() error {
	return eachStream(s.folder(), func(kept string) error {
		there := s.there(kept)
		if _, err := os.Lstat(there); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(os.MkdirAll(filepath.Dir(there), 0o700), os.Rename(kept, there))
	})
}

// there is where a stream of the shadow lives.
func (s shadow) there(kept string) string {
	return filepath.Join(lives(s.store), strings.TrimPrefix(kept, s.folder()))
}

// end takes the second names away.
func (s shadow) end() error { return os.RemoveAll(s.folder()) }
