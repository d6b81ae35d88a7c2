package witness

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"barista/fleet"
)

// still is a link that never broke.
type still struct{}

func (still) Reconnects() uint64           { return 0 }
func (still) Reconnected() <-chan struct{} { return nil }

// TestMarkIsWrittenLater: what was seen while the disk took nothing stands in the mark
// before anything is answered again.
func TestMarkIsWrittenLater(t *testing.T) {
	w, err := New(Parts{Link: still{}}, Config{Dir: t.TempDir(), Boot: "monday"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.state = fleet.StandOpen
	if err := w.seen(fleet.Revision{Seq: 7, Rec: "r7"}, time.Unix(7, 0)); err != nil {
		t.Fatal(err)
	}
	whole := w.file.f
	bad, err := os.Open(w.cfg.Dir + "/book.mark") // for reading only
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	w.file.f = bad
	for _, r := range []fleet.Revision{{Seq: 8, Rec: "r8"}, {Seq: 9, Rec: "r9"}} {
		if err := w.seen(r, time.Unix(9, 0)); err == nil {
			t.Fatal("nothing was written, and nobody says so")
		}
	}
	if err := w.Flows(t.Context(), "", true); err == nil {
		t.Error("it answers, and its mark is behind")
	}
	w.file.f = whole
	if err := w.Flows(t.Context(), "", true); err != nil || w.file.Mark().Seq != 9 || w.file.Mark().Rec != "r9" {
		t.Errorf("%v, and the mark %s", err, w.file.Mark())
	}
}

// TestMarkOnlyRises: of two answers that come at once the older one does not take back
// what the newer one said, whichever is written last; another book's, or another boot
// of the kernel, is kept.
func TestMarkOnlyRises(t *testing.T) {
	f, err := OpenFile(filepath.Join(t.TempDir(), "book.mark"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mark := func(era string, n uint64) fleet.Mark {
		return fleet.Mark{Era: era, Revision: fleet.Revision{Seq: n, Rec: "r"}}
	}
	for _, c := range []struct {
		era  string
		n    uint64
		boot string
		want uint64
	}{{"", 5, "monday", 5}, {"", 4, "monday", 5}, {"", 6, "monday", 6}, {"", 3, "tuesday", 6}, {"loss", 2, "tuesday", 2}} {
		if err := f.Raise(mark(c.era, c.n), c.boot); err != nil || f.Mark().Seq != c.want || f.Mark().Era != c.era || f.Boot() != c.boot {
			t.Errorf("%+v: %v, %s under %s", c, err, f.Mark(), f.Boot())
		}
	}
}

// sick is a file that can't be read at first, and for which a write would be the end.
type sick struct{ wrote bool }

func (*sick) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }
func (s *sick) WriteAt(b []byte, _ int64) (int, error) {
	s.wrote = true
	return len(b), nil
}
func (*sick) Close() error { return nil }

// TestMarkThatCantBeRead: a disk that does not answer is no new file, and nothing is
// written over what may be there.
func TestMarkThatCantBeRead(t *testing.T) {
	s := &sick{}
	if f, err := openMark("book.mark", s, slog.New(slog.DiscardHandler)); err == nil || s.wrote || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "book.mark") {
		t.Errorf("%+v, %v, written: %v", f, err, s.wrote)
	}
}

// TestNewsAreForgotten: which orders were made since the start is known for as long as
// the roll call lasts.
func TestNewsAreForgotten(t *testing.T) {
	w, err := New(Parts{Link: still{}}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.turn(fleet.StandRollCall)
	w.news["a"] = true
	w.turn(fleet.StandRollCall)
	if w.turn(fleet.StandOpen); len(w.news) > 0 {
		t.Errorf("%v", w.news)
	}
}
