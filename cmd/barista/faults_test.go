package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/words"
	"barista/machine"
)

// A fault from the metal to the person and back, on a whole shop: the machine is
// locked by a word that barista faults knows, is shown so, refuses to be cleared
// without a reason or before it is mended, and writes down who cleared it and
// why.
func TestClearFault(t *testing.T) {
	h := openHouse(t, demo{http: "none", nats: "127.0.0.1:0", machines: 1, speed: 20, cups: "auto"}, nil)
	state := h.file.State
	h.ready()
	name := h.machines[0].file.Name
	say := func(code int, args ...string) string {
		t.Helper()
		out, errOut, got := runCLI(append(args, "--nats", h.broker.URL())...)
		if got != code {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, got, code, out, errOut)
		}
		return out + errOut
	}
	shows := func(want fleet.State) bool {
		here, err := h.conn.Fleet().Present(t.Context())
		return err == nil && len(here) == 1 && here[0].State == want
	}
	h.eventually("a machine that is ready", func() bool { return shows(fleet.StateReady) })
	say(term.ExitRefused, "machine", "clear-fault", name, "--reason", "there is none")

	p := h.plants()[0]
	p.Fault(plant.Fault{Kind: plant.StopPressed})
	began := time.Now()
	h.eventually("a fault", func() bool { return shows(fleet.StateFault) })
	t.Logf("shown to the fleet after %v", time.Since(began).Round(time.Millisecond))
	list := say(term.ExitOK, "machine", "ls")
	if !strings.Contains(list, "stop: "+words.Operator("en", string(machine.StopPressed))) {
		t.Errorf("the list does not say it in the words of the table:\n%s", list)
	}
	if known := say(term.ExitOK, "faults", "Stop"); !strings.HasPrefix(known, "stop: ") {
		t.Errorf("the word of the list is not found: %s", known)
	}
	say(term.ExitUsage, "machine", "clear-fault", name)
	say(term.ExitUsage, "machine", "clear-fault", name, "--reason", "  ")
	if got := say(term.ExitRefused, "machine", "clear-fault", name, "--by", "ann", "--reason", "looked"); !strings.Contains(got, "still pressed") {
		t.Errorf("cleared with the stop pressed: %s", got)
	}
	p.Clear()
	h.eventually("it stays locked", func() bool { return shows(fleet.StateFault) })
	say(term.ExitOK, "machine", "clear-fault", name, "--by", "ann", "--reason", "hand is out; \"all\"\nwell")
	h.eventually("a machine that is ready again", func() bool { return shows(fleet.StateReady) })

	var log string
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "guard.log" {
			b, e := os.ReadFile(path)
			log, err = log+string(b), e
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, `"by":"ann","why":"hand is out; \"all\"\nwell","cause":"stop","since":`) {
		t.Errorf("the record says %q", log)
	}
}
