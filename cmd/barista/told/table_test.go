package told

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"barista/fleet"
	"barista/fleet/client"
)

// TestStatus: what is wrong stands first, the ids are short, and nothing is wider than 80.
func TestStatus(t *testing.T) {
	classes := fleet.DefaultMenu().Classes()
	long := strings.Repeat("m", 32)
	ill := client.Machine{
		Machine: long, State: fleet.StateFault, Here: true, Code: "no-flow", Drinks: 12,
		Reason: "no-flow: The pump runs and no water comes: look at the water line, the pump, the flow meter. (0.0/120 ml)",
		Gauges: fleet.Gauges{Water: fleet.GaugeOut, Tray: fleet.GaugeOut},
	}
	works := client.Machine{Machine: "moka", State: fleet.StateBusy, Here: true, Able: true, Order: orderID, Percent: 40, Drinks: 120345,
		Gauges: fleet.Gauges{Beans: fleet.GaugeThere, Water: fleet.GaugeThere, Tray: fleet.GaugeSilent}}
	out := client.Machine{Machine: "zoe", State: fleet.StateCordoned, Here: true, By: "ann@till", Reason: "new grinder\x1b[2J " + strings.Repeat("w", 90)}
	var names []string
	for range 40 {
		names = append(names, "moka")
	}
	stock := client.Items(map[string]fleet.Level{"arabica": {OnHand: 20, Reserved: 9}, long: {OnHand: 123456789}})
	for name, s := range map[string]client.Status{
		"well": {OK: true, Machines: []client.Machine{works}, Queue: []client.Waiting{{Class: classes[0], Machines: names}}, Stock: stock, Open: 1,
			Advice: []string{"the grinder of " + long + " was swapped and has not been calibrated since, so what it doses is a guess: barista calibrate grinder --config FILE"}},
		"wrong": {
			Degraded: []string{
				"arabica runs out: 11 g left, a cup may take 30", long + " has a fault: " + ill.Reason,
				"1 order of which nobody knows whether it was made: barista why last unknown",
			},
			Next: []client.Next{
				ill.Next(), {Command: "barista why last unknown", When: "tells of the last one what to look at and what to type"},
			},
			Machines: []client.Machine{ill, works, out},
			Queue:    []client.Waiting{{Class: classes[0], Waiting: 3, Machines: names}, {Class: classes[1], Machines: []string{}}, {Class: classes[2], Machines: names}},
			Stock:    stock, Open: 4, Unknown: 1,
		},
		"empty": {Degraded: []string{"no machine can take orders"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			Status(&b, s)
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width && !strings.Contains(line, "next: ") {
					t.Errorf("%d characters: %s", n, line)
				}
			}
			file := filepath.Join("testdata", "status", name+".txt")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || b.String() != string(want) {
				t.Errorf("%v\n--- got\n%s--- want\n%s", err, &b, want)
			}
		})
	}
}
