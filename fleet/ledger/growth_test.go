package ledger

import (
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
	"barista/fleet/stock"
)

var history = flag.Int("history", 1000, "orders in the book that BenchmarkStart starts on")

// cpu is what this process has used of a processor.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heap is what is in use after a collection.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse+m.StackInuse) / (1 << 20)
}

// BenchmarkStart is a start of broker, ledger and shelf on a book with a past of 30
// days. The ledger's memory is with what the broker keeps of the blocks that it read
// for it:
//
//	TMPDIR=/dev/shm go test ./fleet/ledger -run - -bench Start -benchtime 5x -timeout 2h -history 100000
func BenchmarkStart(b *testing.B) {
	br := brokertest.Bare(b)
	perDay := max(500, *history/30)
	br.Room(queue.StoreBound(perDay, nil))
	br.Restart()
	c, err := queue.Connect(b.Context(), queue.Config{Name: "setup", InProcess: br, OrdersPerDay: perDay})
	must(b, err)
	_, err = c.Setup(b.Context(), fleet.DefaultMenu())
	must(b, err)
	c.Close()
	fill(b, br, *history)
	br.Stop()
	var broker, start time.Duration
	var brokerMem, startMem float64
	for b.Loop() {
		b.StopTimer()
		empty, began := heap(), cpu()
		br.Again()
		c := br.Connect("shop")
		broker += cpu() - began
		with := heap()
		brokerMem += with - empty
		b.StartTimer()
		began = cpu()
		l := New(Parts{Book: c.Book(), Shelf: stock.NewShelf(nil)}, Config{})
		stop := run(b, l)
		<-l.Ready()
		start += cpu() - began
		b.StopTimer()
		startMem += heap() - with
		if len(l.Open()) != *history/1000 || l.Levels()["arabica"].Consumed == 0 {
			b.Fatalf("%d are open, %+v", len(l.Open()), l.Levels())
		}
		stop()
		c.Close()
		br.Stop()
		b.StartTimer()
	}
	n := float64(b.N)
	b.ReportMetric(broker.Seconds()/n, "broker-cpu-s/start")
	b.ReportMetric(brokerMem/n, "broker-MiB")
	b.ReportMetric(start.Seconds()/n, "ledger-cpu-s/start")
	b.ReportMetric(startMem/n, "ledger-MiB")
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
