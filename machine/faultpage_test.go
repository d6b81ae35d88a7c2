package machine

import (
	"fmt"
	"strings"
	"testing"
)

// TestFaultPage prints the table as the page that people read; -update writes
// it anew.
func TestFaultPage(t *testing.T) {
	var page strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&page, format+"\n", args...) }
	say("# Faults")
	say("")
	say("Printed from the table in fault.go by `go test ./machine -run TestFaultPage -update`;")
	say("each row has a test there. `barista faults` prints the same at the machine.")
	say("")
	say("The word is what `barista status`, `barista machine ls` and `barista why` begin a")
	say("reason with. The reaction begins within 50 ms of the reading that shows the fault,")
	say("while anything is on. A sensor that can't say is a fault itself, never a default.")
	say("")
	say("| Word | Seen by | The drink, at worst | Then |")
	say("|---|---|---|---|")
	for _, f := range Faults {
		say("| [%s](#%s) | %s | %s | %s |", f.Cause, f.Cause, f.Detect, f.Outcome, f.Mend)
	}
	say("")
	say("## Who ends it")
	for _, m := range []Mend{Clear, Fill, Again, Restart} {
		say("")
		say("**%s** — %s %s", m, m.Reaction().EN, m.Who().EN)
		say("*%s %s*", m.Reaction().FR, m.Who().FR)
	}
	say("")
	say("## What people are told")
	for _, f := range Faults {
		say("")
		say("### %s", f.Cause)
		say("")
		say("- operator: %s", f.Operator.EN)
		say("- *opérateur : %s*", f.Operator.FR)
		say("- customer: %s", f.Customer.EN)
		say("- *client : %s*", f.Customer.FR)
		if f.Lacks != "" {
			say("- shown as lacking: %s", f.Lacks)
		}
	}
	golden(t, "../FAULTS.md", page.String())
}
