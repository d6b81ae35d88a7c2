package witness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"barista/fleet"
)

// slot is the room of one copy in a file of a mark, in bytes; a sector, so that what
// was cut off while one was written is that one.
const slot = 512

// File keeps a mark in a file of its own. It is written in place, in two copies by
// turns, and not synced: a killed process loses nothing, and after a power cut, which
// may have taken the last ones, the kernel has another boot id. Any goroutine may use
// it.
type File struct {
	mu   sync.Mutex // guards what follows
	f    store
	last kept
	have bool
}

// kept is a mark as it stands in the file.
type kept struct {
	N    uint64     `json:"n"` // of the writing; the higher one is newer
	Boot string     `json:"boot"`
	Mark fleet.Mark `json:"mark"`
}

// OpenFile opens a mark, or makes room for one. One that is damaged begins anew, and the
// log names it.
func OpenFile(path string, log *slog.Logger) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("the mark of what was seen of the book: %w", err)
	}
	return openMark(path, f, log)
}

// store is what a mark is kept in.
type store interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

func openMark(path string, f store, log *slog.Logger) (*File, error) {
	m := &File{f: f}
	b := make([]byte, 2*slot)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) { // a new one is short
		f.Close()
		return nil, fmt.Errorf("the mark of what was seen of the book, %s, can't be read: %w; nothing was changed", path, err)
	}
	for i := range 2 {
		if from := i * slot; n >= from+slot {
			if k, err := decode(b[from : from+slot]); err == nil && (!m.have || k.N > m.last.N) {
				m.last, m.have = k, true
			}
		}
	}
	if !m.have && len(bytes.Trim(b[:n], "\x00")) > 0 {
		log.Error("the mark of what was seen of the book is damaged in both of its copies, and begins anew: what only it knew, nobody knows", "file", path)
	}
	if n < 2*slot { // room for both, so that a full disk is no matter later
		if _, err := f.WriteAt(make([]byte, 2*slot-n), int64(n)); err != nil {
			f.Close()
			return nil, fmt.Errorf("the mark of what was seen of the book: %w; make room", err)
		}
	}
	return m, nil
}

// Close gives the file free.
func (m *File) Close() error { return m.f.Close() }

// Mark is what was kept last; the zero mark where there is none.
func (m *File) Mark() fleet.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last.Mark
}

// Boot is under which kernel boot that was; "" where there is none.
func (m *File) Boot() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last.Boot
}

// Raise keeps a mark, unless what is kept is of the same book and has seen as much.
func (m *File) Raise(mark fleet.Mark, boot string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.have && !m.last.Mark.Behind(mark) {
		if m.last.Boot == boot {
			return nil
		}
		mark = m.last.Mark
	}
	k := kept{m.last.N + 1, boot, mark}
	b, err := encode(k)
	if err != nil {
		return err
	}
	if _, err := m.f.WriteAt(b, int64(k.N%2)*slot); err != nil {
		return fmt.Errorf("the mark of what was seen of the book: %w", err)
	}
	m.last, m.have = k, true
	return nil
}

func encode(k kept) ([]byte, error) {
	body, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(body), body)
	if len(b) > slot {
		return nil, errors.New("the mark of what was seen of the book is longer than its room")
	}
	return append(b, bytes.Repeat([]byte{' '}, slot-len(b))...), nil
}

func decode(b []byte) (k kept, err error) {
	sum, body, ok := bytes.Cut(bytes.TrimSpace(b), []byte{' '})
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return k, fs.ErrInvalid
	}
	return k, json.Unmarshal(body, &k)
}

// Own is a machine's mark, which knows no boot.
type Own struct{ *File }

// Raise keeps a mark.
func (o Own) Raise(mark fleet.Mark) error { return o.File.Raise(mark, "") }
