package preview

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestStuckStream: a stream in the store with which the shop would not start is a
// problem of the file, with the words of the start.
func TestStuckStream(t *testing.T) {
	b := brokertest.Bare(t)
	nc, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: fleet.StreamOrders, Subjects: []string{"coffee.orders.arabica.free"}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "state: %s\nbroker:\n  listen: none\n  store: %s\ncontroller: {}\nstock: {}\n", t.TempDir(), b.Store()), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Check(file, nil)
	var out bytes.Buffer
	r.Print(&out)
	_, start := b.Connect("shop").Setup(t.Context(), fleet.DefaultMenu())
	if start == nil || r.OK || len(r.Problems) != 1 || !strings.Contains(start.Error(), r.Problems[0].Reason) || !strings.Contains(out.String(), r.Problems[0].Reason) {
		t.Errorf("check says %+v, the start %v:\n%s", r, start, out.String())
	}
}
