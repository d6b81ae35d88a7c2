package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/preview"
	"barista/configs"
	"barista/driver"
	"barista/driver/gpio"
	"barista/driver/guard"
)

// FuzzLoad: no text, whatever kind of machine it speaks of, makes the loader
// panic, hang or eat the memory. What it takes is safe to open; what it refuses
// has a line of the file, a reason and a fix each.
func FuzzLoad(f *testing.F) {
	f.Setenv(configs.EnvNATS, "")
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, b := range badFiles {
		f.Add(b.text(f))
	}
	all := loader()
	f.Fuzz(func(t *testing.T, text string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		file, err := configs.Parse("fuzz.yaml", []byte(text), all)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if most := uint64(len(text)/4096+1) << 20; after.TotalAlloc-before.TotalAlloc > most {
			t.Errorf("%d bytes of memory for a file of %d", after.TotalAlloc-before.TotalAlloc, len(text))
		}
		if took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if err != nil {
			for _, p := range err.(*configs.Problems).List {
				if p.Reason == "" || p.Fix == "" || p.Pos.Line < 1 || p.Pos.Column < 1 || p.Pos.Line > strings.Count(text, "\n")+1 || strings.ContainsAny(p.String(), "\n\r\x1b\x00") {
					t.Errorf("a problem that helps nobody: %#v", p)
				}
			}
			return
		}
		preview.Warnings(file)
		if file.Machine == nil {
			return
		}
		for part, o := range file.Machine.Guard.Parts {
			if o.MaxOn < 0 || o.MaxOn > guard.Ceiling(part) || o.Rest < 0 || o.DutyOn > o.DutyWindow {
				t.Errorf("taken: %s %+v", part, o)
			}
		}
		if w, is := file.Machine.Settings.(interface{ Wiring() gpio.Config }); is {
			c := w.Wiring()
			if err := driver.Refusal(c.Problems()); err != nil {
				t.Errorf("taken, and the driver refuses it: %v", err)
			}
			for _, part := range []driver.Part{driver.Pump, driver.Heater} {
				if o, there := c.Outputs[part]; there && (o.Deadman == "" || o.Deadman == driver.DeadmanNone && strings.TrimSpace(o.AcceptNoDeadman) == "") {
					t.Errorf("taken: %s without a dead man's switch", part)
				}
			}
		}
		if (file.Broker != nil || file.Web != nil) && file.Machine.Driver != "mock" {
			t.Errorf("taken: %s beside a shop", file.Machine.Driver)
		}
	})
}
