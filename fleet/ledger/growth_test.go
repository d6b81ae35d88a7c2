package ledger

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
	"barista/fleet/stock"
)

var history = flag.Int("history", 1000, "orders in the book that BenchmarkStart starts on")

// BenchmarkStart is a start of broker, ledger and shelf on a book with a past of 30
// days, each in a process of its own: the CPU that it takes until the ledger is ready,
// and how much larger the process becomes at its largest, and is then, than one that
// starts on an empty book.
//
//	TMPDIR=/dev/shm go test ./fleet/ledger -run - -bench Start -benchtime 3x -timeout 2h -history 100000
func BenchmarkStart(b *testing.B) {
	empty, past := b.TempDir(), b.TempDir()
	perDay := max(500, *history/30)
	for _, dir := range []string{empty, past} {
		br := brokertest.Bare(b)
		br.Room(queue.StoreBound(perDay, nil))
		br.Restart()
		c, err := queue.Connect(b.Context(), queue.Config{Name: "setup", InProcess: br, OrdersPerDay: perDay})
		must(b, err)
		_, err = c.Setup(b.Context(), fleet.DefaultMenu())
		must(b, err)
		c.Close()
		if dir == past {
			fill(b, br, *history)
		}
		br.Stop()
		must(b, os.CopyFS(dir, os.DirFS(br.Store())))
	}
	base := startOn(b, empty, perDay)
	var sum started
	for b.Loop() {
		s := startOn(b, past, perDay)
		if s.Open != *history/1000 || s.Consumed == 0 {
			b.Fatalf("it came to %+v", s)
		}
		sum.Broker, sum.Ledger = sum.Broker+s.Broker, sum.Ledger+s.Ledger
		sum.Peak, sum.After = max(sum.Peak, s.Peak-base.Peak), sum.After+s.After-base.After
	}
	n := float64(b.N)
	b.ReportMetric(sum.Broker.Seconds()/n, "broker-cpu-s/start")
	b.ReportMetric(sum.Ledger.Seconds()/n, "ledger-cpu-s/start")
	b.ReportMetric(sum.Peak, "largest-MiB-more")
	b.ReportMetric(sum.After/n, "after-MiB-more")
}

// started is what a process says of its start.
type started struct {
	Broker, Ledger time.Duration // CPU until the broker is ready, and from then on
	Peak, After    float64       // MiB resident: at most, and after what was garbage is given back
	Open, Consumed int
}

// startOn starts a process on a copy of a broker's folder.
func startOn(b *testing.B, folder string, perDay int) (s started) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestStartedOn$", "-test.v")
	cmd.Env = append(os.Environ(), "START_ON="+folder, "PER_DAY="+strconv.Itoa(perDay))
	out, err := cmd.CombinedOutput()
	if err == nil {
		_, line, _ := bytes.Cut(out, []byte("started "))
		err = json.NewDecoder(bytes.NewReader(line)).Decode(&s)
	}
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return s
}

// TestStartedOn is the process that BenchmarkStart starts, and nothing else.
func TestStartedOn(t *testing.T) {
	folder := os.Getenv("START_ON")
	if folder == "" {
		t.Skip("it is part of BenchmarkStart")
	}
	perDay, err := strconv.Atoi(os.Getenv("PER_DAY"))
	must(t, err)
	began := cpu()
	br, err := broker.Open(t.Context(), broker.Config{Name: "test", Store: folder, MaxStore: queue.StoreBound(perDay, nil), Ours: queue.StreamNames()})
	must(t, err)
	defer br.Close()
	c, err := queue.Connect(t.Context(), queue.Config{Name: "shop", InProcess: br, OrdersPerDay: perDay})
	must(t, err)
	defer c.Close()
	s := started{Broker: cpu() - began}
	began = cpu()
	l := New(Parts{Book: c.Book(), Shelf: stock.NewShelf(nil)}, Config{})
	stop := run(t, l)
	defer stop()
	<-l.Ready()
	s.Ledger, s.Peak = cpu()-began, resident(t, "VmHWM:")
	s.Open, s.Consumed = len(l.Open()), l.Levels()["arabica"].Consumed
	for range 3 { // as the service does a minute later, and the runtime in time: a pool is empty after two
		debug.FreeOSMemory()
	}
	s.After = resident(t, "VmRSS:")
	line, err := json.Marshal(s)
	must(t, err)
	fmt.Printf("started %s\n", line)
}

// cpu is what this process has used of a processor.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is a line of what Linux says of this process's memory, in MiB.
func resident(t *testing.T, what string) float64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), what)
	kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	must(t, err)
	return kib / 1024
}

// fill writes a past: each order its three records, one of a thousand in doubt, and a
// balance now and then. The orders are sent without waiting, as no shop does it.
func fill(b *testing.B, br *brokertest.Broker, orders int) {
	nc, err := nats.Connect("", nats.InProcessServer(br))
	must(b, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	must(b, err)
	book := br.Connect("past").Book()
	l, stop := running(b, book, Config{Every: 1 << 30}, nil)
	defer stop()
	must(b, put(b.Context(), l, fleet.Refill, "arabica", 1_000_000))
	n, leaf := 0, uint64(0)
	claim := func(subject string, c fleet.Claim) {
		n++
		body, err := json.Marshal(struct {
			fleet.Claim
			Rec string `json:"rec"`
		}{c, fmt.Sprint("past", n)})
		must(b, err)
		_, err = js.PublishAsync(subject, body, jetstream.WithStallWait(time.Minute))
		must(b, err)
	}
	for i := range orders {
		o := fleet.Order{ID: idN(i), Name: "Ada Lovelace", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
		c := fleet.Create(o, cup, fleet.Success(o.ID), "web")
		claim(fleet.ActSubject(leaf, o.ID), c)
		c, err := fence(c)
		must(b, err)
		claim(fleet.StateSubject(o.ID), c)
		if i%1000 == 999 {
			c, err = park(c)
		} else {
			c, err = made(c)
		}
		must(b, err)
		claim(fleet.StateSubject(o.ID), c)
		if i%250 < 249 && i < orders-1 {
			continue
		}
		<-js.PublishAsyncComplete()
		must(b, l.balance(b.Context(), 1))
		last, err := book.LastBalance(b.Context())
		must(b, err)
		leaf = last.Seq
	}
}
