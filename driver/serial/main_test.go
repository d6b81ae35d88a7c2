package serial_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// cycles is how often the cable is pulled and put back; 1000 once by hand.
var cycles = flag.Int("cycles", 50, "unplug and replug cycles over a pseudo-terminal")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
