package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barista/driver/jura"
)

func TestSimJuraUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--link", "x", "--model", "E6"}, {"--link", "x", "--fault", "sour"}, {"--link", "x", "--cups", "dispenser"}, {"--link", "x", "--speed", "-1"},
	} {
		cmd := newSimJura(&cli{})
		cmd.SetArgs(args)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		if err := cmd.Execute(); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

// TestSimJura is the subcommand: it makes the port, plays, and fails on harm.
func TestSimJura(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jura")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := newSimJura(&cli{})
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--link", path})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
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
	if _, err := port.Write(jura.AppendLine(nil, "AN:0A", jura.HighFiller)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "harm: AN:0A erases the memory") {
			t.Errorf("%v", err)
		}
	case <-late.C:
		t.Fatal("it survives")
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the port is still there")
	}
	if !strings.Contains(out.String(), "a Jura at "+path) || !strings.Contains(out.String(), "0 drinks poured") {
		t.Errorf("said: %s", out.String())
	}
}
