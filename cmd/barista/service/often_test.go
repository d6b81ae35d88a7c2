package service

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestNotTooOften: a million lines of one cause are fifty in ten seconds and a count,
// and another cause is heard beside them.
func TestNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &strings.Builder{}
		log := slog.New(NotTooOften(slog.NewTextHandler(out, nil)))
		flood := log.With("room", "door")
		for i := range 100_000 {
			flood.Warn("no request", "n", i)
		}
		log.Error("the pump is locked")
		log.WithGroup("x").Warn("no request", "n", "grouped")
		if n := strings.Count(out.String(), "\n"); n != oftenMost+1 || !strings.Contains(out.String(), "the pump is locked") {
			t.Errorf("%d lines", n)
		}
		time.Sleep(oftenIn)
		log.Info("an order", "room", "door")
		if want := fmt.Sprintf(`level=WARN msg="the same was said too often; lines were left out" of="no request" lines=%d`, 100_001-oftenMost); !strings.Contains(out.String(), want) {
			t.Errorf("not counted: %s", out.String()[len(out.String())-300:])
		}
		if !strings.Contains(out.String(), `msg="an order"`) {
			t.Error("another line is missing")
		}
		out.Reset()
		flood.Warn("no request")
		if !strings.Contains(out.String(), "no request") {
			t.Error("silent after its time")
		}
		// A day of it, a line each millisecond of ten seconds in a hundred.
		out.Reset()
		for range 10 {
			for range 1000 {
				flood.Warn("no request")
				time.Sleep(time.Millisecond)
			}
			time.Sleep(oftenIn)
		}
		if n := strings.Count(out.String(), "\n"); n > 10*(oftenMost+1) {
			t.Errorf("%d lines", n)
		}
		// Texts that come from elsewhere are no way around it.
		out.Reset()
		for i := range 10_000 {
			flood.Warn(fmt.Sprint("text ", i))
		}
		if n := strings.Count(out.String(), "\n"); n > mostCauses+2*oftenMost {
			t.Errorf("%d lines of as many texts", n)
		}
	})
}

// TestErrorsAreHeard: whoever floods the log with ever other texts silences his own
// place and level, and no error that is said elsewhere, or there.
func TestErrorsAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &strings.Builder{}
		log := slog.New(NotTooOften(slog.NewTextHandler(out, nil)))
		say := func(level slog.Level, text string) { log.Log(t.Context(), level, text) }
		for i := range 10_000 {
			say(slog.LevelWarn, fmt.Sprint("client ", i))
		}
		quiet := out.Len()
		say(slog.LevelError, "the disk is full")
		log.Error("the pump is locked")
		log.Warn("the cup is late")
		for _, text := range []string{"the disk is full", "the pump is locked", "the cup is late"} {
			if !strings.Contains(out.String()[quiet:], text) {
				t.Errorf("not heard: %s", text)
			}
		}
		for i := range 10_000 {
			say(slog.LevelError, fmt.Sprint("server ", i))
		}
		if n := strings.Count(out.String(), "\n"); n > 2*(mostCauses+oftenMost)+3 {
			t.Errorf("%d lines of as many texts", n)
		}
	})
}

// TestLeftOutIsNobodysLine: the word of what was left out has nothing of the logger
// that comes to speak next.
func TestLeftOutIsNobodysLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &strings.Builder{}
		log := slog.New(NotTooOften(slog.NewTextHandler(out, nil).WithAttrs([]slog.Attr{slog.String("service", "shop")})))
		for range oftenMost + 7 {
			log.Warn("no request", "n", 1)
		}
		time.Sleep(oftenIn)
		out.Reset()
		log.With("machine", "zoe").WithGroup("cup").Info("an order", "n", 2)
		want := regexp.MustCompile(`^time=\S+ level=WARN msg="the same was said too often; lines were left out" service=shop of="no request" lines=7
time=\S+ level=INFO msg="an order" service=shop machine=zoe cup.n=2
$`)
		if !want.MatchString(out.String()) {
			t.Errorf("%s", out)
		}
	})
}
