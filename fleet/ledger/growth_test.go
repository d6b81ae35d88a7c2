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

// BenchmarkStart is a start of broker, ledger and shelf on a book with a past:
//
//	TMPDIR=/dev/shm go test ./fleet/ledger -run - -bench Start -benchtime 5x -timeout 2h -history 100000
func BenchmarkStart(b *testing.B) {
	br := brokertest.Start(b)
	big, err := queue.Connect(b.Context(), queue.Config{Name: "big", InProcess: br, OrdersPerDay: 2000}) // has room for it
	must(b, err)
	_, err = big.Setup(b.Context(), fleet.DefaultMenu())
	must(b, err)
	big.Close()
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

// fill writes a past: each order its three records, one of a thousand in doubt. It is
// sent without waiting, as no shop does it; a ledger then reads all of it and leaves
// a balance.
func fill(b *testing.B, br *brokertest.Broker, orders int) {
	nc, err := nats.Connect("", nats.InProcessServer(br))
	must(b, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	must(b, err)
	n := 0
	send := func(subject string, c any) {
		body, err := json.Marshal(c)
		must(b, err)
		_, err = js.PublishAsync(subject, body, jetstream.WithStallWait(time.Minute))
		must(b, err)
	}
	claim := func(subject string, c fleet.Claim) {
		n++
		send(subject, struct {
			fleet.Claim
			Rec string `json:"rec"`
		}{c, fmt.Sprint("past", n)})
	}
	send(fleet.ActSubject("stock"), struct {
		fleet.StockAct
		Rec string `json:"rec"`
	}{fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": 1_000_000}}, "refill"})
	for i := range orders {
		o := fleet.Order{ID: idN(i), Name: "Ada Lovelace", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
		c := fleet.Create(o, cup, fleet.Success(o.ID), "web")
		claim(fleet.ActSubject(o.ID), c)
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
	}
	<-js.PublishAsyncComplete()
	l, stop := running(b, br.Connect("past").Book(), Config{}, nil)
	defer stop()
	<-l.Ready()
	if !l.until(b.Context(), func() bool { return l.fold.balanced > 0 }) {
		b.Fatal("no balance")
	}
}
