package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/cmd/barista/service"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/queue"
)

// This file is what barista is measured against: a bare nats.go loop that does
// the same durable writes, and the public article's minimum. Both work on the
// same broker with the same settings and the same streams. Neither decodes or
// encodes anything, reads or compares a claim, lays out a recipe or guards an
// output: what they cost is what the writes cost.

// write is one durable write of an order.
type write struct {
	what   string
	store  string // stream or file
	aside  bool   // nobody waits for it
	reason string
}

const (
	claimStream = "KV_" + fleet.BucketClaims
	journals    = "journal, fsync"
	confirmed   = "journal, no fsync"
)

// orderWrites is what one order of a drink with one step writes, in order. The
// bare loop does exactly this; that barista does is counted, not believed.
var orderWrites = []write{
	{"claim: accepted", claimStream, false, "one id is one order, however often and wherever it is asked"},
	{"ledger: reserve", fleet.StreamLedger, false, "no bean is promised twice"},
	{"order into the queue", fleet.StreamOrders, false, "it waits for a machine, whoever dies"},
	{"claim: published", claimStream, false, "success is said after it, and never followed by a refusal"},
	{"event: accepted", fleet.StreamEvents, true, "pages, board, why"},
	{"claim: claimed", claimStream, false, "one machine tries, and tries are counted"},
	{"claim: brewing", claimStream, false, "the fence: one machine pours; cancel and fence have one winner"},
	{"event: brewing", fleet.StreamEvents, true, "pages, why"},
	{"journal: start", journals, false, "after a crash it is known that metal may have moved"},
	{"event: step", fleet.StreamEvents, true, "one per step of the drink; one here"},
	{"journal: end", journals, false, "after a crash it is known how it came out"},
	{"claim: served", claimStream, false, "the end, with the whole outcome"},
	{"event: served", fleet.StreamEvents, false, "told before the ticket goes, so that it can't get lost"},
	{"journal: confirmed", confirmed, false, "the next start need not ask again"},
	{"ack of the ticket", "", false, "the message leaves the queue, confirmed by the broker"},
	{"ledger: consume", fleet.StreamLedger, true, "the reservation ends"},
}

// minimalWrites is the article's: publish, pull, InProgress, DoubleAck.
var minimalWrites = []write{
	{"order into the queue", fleet.StreamOrders, false, ""},
	{"ack of the ticket", "", false, ""},
}

// perOrder counts a list of writes by store.
func perOrder(list []write) map[string]int {
	n := map[string]int{}
	for _, w := range list {
		if w.store != "" {
			n[w.store]++
		}
	}
	return n
}

// Payloads are of the size that barista's had on the same stores.
var (
	claimBody  = payload(640)
	ledgerBody = payload(160)
	eventBody  = payload(150)
	answerBody = payload(160)
	recordBody = payload(150)
)

func payload(n int) []byte { return []byte(strings.Repeat("x", n)) }

// idAt is where an order's id stands in a customer's request.
const idAt = len(`{"id":"`)

func idOf(body []byte) string { return string(body[idAt : idAt+26]) }

// The class that the benchmark orders.
var benchClass = fleet.Class{Bean: "arabica", Milk: fleet.NoMilk}

// bare is one shop of either kind, or its machines.
type bare struct {
	minimal bool
	watch   *watch
	stages  []service.Stage

	ledgerTurn sync.Mutex // as in barista: one entry after the other
	heralds    chan string
	err        chan error // the first

	synced, unsynced atomic.Int64 // journal records
}

func newBare(minimal bool, w *watch) *bare {
	return &bare{minimal: minimal, watch: w, heralds: make(chan string, 1024), err: make(chan error, 1)}
}

func (b *bare) fail(what string, err error) {
	select {
	case b.err <- fmt.Errorf("%s: %w", what, err):
	default:
	}
}

func (b *bare) add(name string, run func(context.Context) error, close func() error) {
	b.stages = append(b.stages, service.Stage{Name: name, Run: run, Close: close})
}

// connect opens a connection, and closes it with the stages.
func (b *bare) connect(name string, in nats.InProcessConnProvider, url string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := dialBench(name, in, url)
	if err != nil {
		return nil, nil, err
	}
	b.add(name, nil, func() error { nc.Close(); return nil })
	js, err := jetstream.New(nc)
	return nc, js, err
}

func dialBench(name string, in nats.InProcessConnProvider, url string) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name(name)}
	if in != nil {
		opts = append(opts, nats.InProcessServer(in))
	}
	return nats.Connect(url, opts...)
}

// openShop opens the broker as barista does, makes barista's streams, and opens
// the door.
func (b *bare) openShop(ctx context.Context, dir, listen string) (*broker.Broker, error) {
	need := queue.StoreNeeded(configs.DefaultOrdersPerDay)
	srv, err := broker.Open(ctx, broker.Config{Name: "barista", Store: filepath.Join(dir, "broker"), Listen: listen, MaxStore: need + need/4})
	if err != nil {
		return nil, err
	}
	b.add("broker", nil, srv.Close)
	c, err := queue.Connect(ctx, queue.Config{Name: "setup", InProcess: srv, OrdersPerDay: configs.DefaultOrdersPerDay})
	if err != nil {
		return nil, err
	}
	_, err = c.Setup(ctx, fleet.DefaultMenu())
	c.Close()
	if err != nil || b.minimal {
		return srv, err
	}
	door, doorJS, err := b.connect("controller", srv, "")
	if err != nil {
		return nil, err
	}
	stock, stockJS, err := b.connect("stock", srv, "")
	if err != nil {
		return nil, err
	}
	b.add("herald", func(ctx context.Context) error { return b.herald(ctx, doorJS) }, nil)
	if err := b.openBooks(stock, stockJS); err != nil {
		return nil, err
	}
	return srv, b.openDoor(context.WithoutCancel(ctx), door, doorJS, stockJS)
}

// openDoor is the customers' side: four writes, then the answer. Orders are
// served side by side, the writes of one are in order.
func (b *bare) openDoor(ctx context.Context, nc *nats.Conn, js, stockJS jetstream.JetStream) error {
	var wg sync.WaitGroup
	sub, err := nc.QueueSubscribe(fleet.SubjectRequests, "q", func(m *nats.Msg) {
		wg.Go(func() {
			id := idOf(m.Data)
			b.claim(ctx, js, id) // accepted
			b.ledger(ctx, stockJS)
			if _, err := js.Publish(ctx, fleet.OrderSubject(benchClass), m.Data, jetstream.WithMsgID(id)); err != nil {
				b.fail("order", err)
			}
			b.claim(ctx, js, id) // published
			if err := m.Respond(answerBody); err != nil {
				b.fail("answer", err)
			}
			b.heralds <- id
		})
	})
	if err != nil {
		return err
	}
	b.add("door", nil, func() error {
		err := sub.Unsubscribe()
		wg.Wait()
		return err
	})
	return nc.Flush()
}

func (b *bare) claim(ctx context.Context, js jetstream.JetStream, id string) {
	if _, err := js.Publish(ctx, "$KV."+fleet.BucketClaims+"."+id, claimBody); err != nil {
		b.fail("claim", err)
	}
}

func (b *bare) ledger(ctx context.Context, js jetstream.JetStream) {
	b.ledgerTurn.Lock()
	defer b.ledgerTurn.Unlock()
	if _, err := js.Publish(ctx, "coffee.ledger", ledgerBody); err != nil {
		b.fail("ledger", err)
	}
}

func (b *bare) event(ctx context.Context, js jetstream.JetStream, id, slot string) {
	if _, err := js.Publish(ctx, fleet.EventSubject(id, slot), eventBody); err != nil {
		b.fail("event", err)
	}
}

// herald writes the events of the customers' side, off the path.
func (b *bare) herald(ctx context.Context, js jetstream.JetStream) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-b.heralds:
			b.event(ctx, js, id, "accepted")
		}
	}
}

// openBooks writes the end of each reservation, off the path.
func (b *bare) openBooks(nc *nats.Conn, js jetstream.JetStream) error {
	served := make(chan *nats.Msg, 1024)
	if _, err := nc.ChanSubscribe("coffee.live.*.served", served); err != nil {
		return err
	}
	b.add("books", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-served:
				b.ledger(ctx, js)
			}
		}
	}, nil)
	return nc.Flush()
}

// openMachine opens one machine of a shop that is reached by in or url.
func (b *bare) openMachine(name, dir string, in nats.InProcessConnProvider, url string) error {
	nc, js, err := b.connect(name, in, url)
	if err != nil {
		return err
	}
	j, err := os.OpenFile(filepath.Join(dir, name+".journal"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	b.add("journal of "+name, nil, j.Close)
	m := &bareMachine{bare: b, name: name, nc: nc, js: js, journal: j}
	b.add("machine "+name, m.run, nil)
	return nil
}

// bareMachine makes one order after the other.
type bareMachine struct {
	*bare
	name    string
	nc      *nats.Conn
	js      jetstream.JetStream
	journal *os.File
}

func (m *bareMachine) run(ctx context.Context) error {
	inbox := m.nc.NewInbox()
	sub, err := m.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	// What nobody waits for is written in order by a goroutine of its own.
	news := make(chan [2]string, 1024)
	var wg sync.WaitGroup
	wg.Go(func() {
		for e := range news {
			m.event(context.WithoutCancel(ctx), m.js, e[0], e[1])
		}
	})
	defer wg.Wait()
	defer close(news)

	serve := m.makeDrink
	if m.minimal {
		serve = m.makeMinimal
	}
	next := "$JS.API.CONSUMER.MSG.NEXT." + fleet.StreamOrders + "." + fleet.MakerDurable(benchClass)
	for ctx.Err() == nil {
		if err := m.nc.PublishRequest(next, inbox, []byte(`{"batch":1,"expires":20000000000}`)); err != nil {
			return err
		}
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, context.Canceled):
		case err != nil:
			return err
		case msg.Header.Get("Status") == "": // else nothing came
			serve(context.WithoutCancel(ctx), msg, news)
		}
	}
	return nil
}

// makeDrink is one order at the machine, as barista writes it.
func (m *bareMachine) makeDrink(ctx context.Context, msg *nats.Msg, news chan<- [2]string) {
	id := idOf(msg.Data)
	m.inProgress(msg)
	m.claim(ctx, m.js, id) // claimed
	m.claim(ctx, m.js, id) // brewing
	news <- [2]string{id, "brewing-1"}
	m.record(true) // start
	m.watch.relay(id, m.name)
	news <- [2]string{id, "step-1-1"}
	m.record(true)         // end
	m.claim(ctx, m.js, id) // served
	m.event(ctx, m.js, id, "served")
	m.record(false) // confirmed
	m.ack(msg)
}

// makeMinimal is one order at the article's machine.
func (m *bareMachine) makeMinimal(ctx context.Context, msg *nats.Msg, news chan<- [2]string) {
	id := idOf(msg.Data)
	m.inProgress(msg)
	m.watch.relay(id, m.name)
	m.ack(msg)
	m.watch.served(id)
}

func (m *bareMachine) inProgress(msg *nats.Msg) {
	if err := m.nc.Publish(msg.Reply, []byte("+WPI")); err != nil {
		m.fail("in progress", err)
	}
}

func (m *bareMachine) ack(msg *nats.Msg) {
	if _, err := m.nc.Request(msg.Reply, []byte("+ACK"), 5*time.Second); err != nil {
		m.fail("ack", err)
	}
}

// record appends to the journal.
func (m *bareMachine) record(durable bool) {
	n := &m.unsynced
	_, err := m.journal.Write(recordBody)
	if err == nil && durable {
		n, err = &m.synced, m.journal.Sync()
	}
	if err != nil {
		m.fail("journal", err)
	}
	n.Add(1)
}

// bareContender is the bare loop or the minimum.
func bareContender(name string, minimal bool) contender {
	list := orderWrites
	if minimal {
		list = minimalWrites
	}
	return contender{
		name: name,
		list: list,
		shop: func(ctx context.Context, dir string) (*party, error) {
			b := newBare(minimal, nil)
			srv, err := b.openShop(ctx, dir, "127.0.0.1:0")
			if err != nil {
				service.CloseAll(b.stages)
				return nil, err
			}
			return b.party(srv, srv.URL()), nil
		},
		open: func(ctx context.Context, dir, url string, machines int, w *watch) (*party, error) {
			b := newBare(minimal, w)
			var in nats.InProcessConnProvider
			if url == "" {
				srv, err := b.openShop(ctx, dir, "none")
				if err != nil {
					service.CloseAll(b.stages)
					return nil, err
				}
				in = srv
			}
			for _, name := range names[:machines] {
				if err := b.openMachine(name, dir, in, url); err != nil {
					service.CloseAll(b.stages)
					return nil, err
				}
			}
			p := b.party(in, url)
			p.journal = func() map[string]int {
				return map[string]int{journals: int(b.synced.Load()), confirmed: int(b.unsynced.Load())}
			}
			return p, nil
		},
		call: func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, body []byte) error {
			if minimal {
				_, err := js.Publish(ctx, fleet.OrderSubject(benchClass), body)
				return err
			}
			m, err := nc.RequestWithContext(ctx, fleet.SubjectRequests, body)
			if err == nil && !slices.Equal(m.Data, answerBody) {
				err = fmt.Errorf("not the answer: %q", m.Data)
			}
			return err
		},
	}
}

func (b *bare) party(in interface{ InProcessConn() (net.Conn, error) }, url string) *party {
	return &party{
		in: in, url: url,
		run: func(ctx context.Context) error {
			err := service.Run(ctx, b.stages)
			select {
			case first := <-b.err:
				err = errors.Join(first, err)
			default:
			}
			return err
		},
	}
}
