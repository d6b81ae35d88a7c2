package witness

import (
	"os"
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
	bad, err := os.Open(whole.Name()) // for reading only
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
