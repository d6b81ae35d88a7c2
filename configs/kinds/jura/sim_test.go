package jura

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barista/configs/kinds/kindtest"
	"barista/driver/jura"
)

func TestSimUsage(t *testing.T) {
	kindtest.WrongUsage(t, sim,
		nil, []string{"--link", "x", "--model", "E6"}, []string{"--link", "x", "--fault", "sour"},
		[]string{"--link", "x", "--cups", "dispenser"}, []string{"--link", "x", "--speed", "-1"})
}

// TestSim is the command: it makes the port, plays, and fails on harm.
func TestSim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jura")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out strings.Builder
	ended := make(chan error, 1)
	go func() { ended <- kindtest.Run(ctx, sim, &out, false, "--link", path) }()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		if _, err := os.Lstat(path); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-late.C:
			t.Fatal("no port")
		case <-time.After(5 * time.Millisecond):
		}
	}
	port, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	// It takes no character that comes too early, and on a busy computer one may:
	// then it is sent the line again.
	line := jura.AppendLine(nil, "AN:0A", jura.HighFiller)
	for alive, i := true, 0; alive; i = (i + 4) % len(line) {
		if _, err := port.Write(line[i : i+4]); err != nil {
			t.Log(err) // the port is gone
		}
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "harm: AN:0A erases the memory") {
				t.Errorf("%v", err)
			}
			alive = false
		case <-late.C:
			t.Fatal("it survives")
		case <-time.After(15 * time.Millisecond):
		}
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the port is still there")
	}
	if !strings.Contains(out.String(), "a Jura at "+path) || !strings.Contains(out.String(), "0 drinks poured") {
		t.Errorf("said: %s", out.String())
	}
}
