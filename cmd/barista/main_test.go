package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"barista/fleet/brokertest"
)

// TestMain lets this test binary be barista itself in scripts, and looks for
// goroutines that were left behind.
func TestMain(m *testing.M) {
	if os.Getenv(slowDiskEnv) != "" {
		askAtSyncs()
	}
	brokertest.BeServer()
	if c := os.Getenv(childEnv); c != "" {
		beChild(c)
	}
	if args := os.Getenv(mainEnv); args != "" {
		beMain(args)
	}
	if does := os.Getenv(articleEnv); does != "" {
		beArticle(does)
	}
	if board := os.Getenv(boardEnv); board != "" {
		beBoard(board)
	}
	testscript.Main(noLeaks{m}, map[string]func(){"barista": main})
}

type noLeaks struct{ *testing.M }

func (m noLeaks) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, where := range leftovers() {
		fmt.Fprintln(os.Stderr, "a secret is in", where)
		code = 1
	}
	return code
}

func TestScript(t *testing.T) {
	samples, err := filepath.Abs("../../configs")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SAMPLES", samples)
			e.Setenv("NATS_URL", "")
			e.Setenv("NO_COLOR", "")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":   exits,
			"waitfor": waitFor,
		},
	})
}

// exits CODE PROGRAM ARGS… runs a program and wants exactly this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s: %s", got, args[0], strings.Join(args[1:], " "))
	}
}

// waitFor FILE waits until a background program has made it.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	ts.Fatalf("%s did not appear", args[0])
}
