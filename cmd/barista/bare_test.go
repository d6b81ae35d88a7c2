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

// This file is what barista is measured against: bare nats.go loops that do the
// durable writes of one order, by two lists, and the public article's minimum. All
// work on the same broker with the same settings. None decodes or encodes anything,
// reads or compares a claim, lays out a recipe or guards an output: what they cost
// is what the writes cost.

// write is one write of an order.
type write struct {
	what   string
	store  string // stream or file; "": the removal of a message from the queue
	synced bool   // it is on the disk before it counts
	aside  bool   // nobody waits for it
	reason string
}

const (
	oldClaims = "KV_coffee-claims"
	oldLedger = "coffee-ledger"
	journals  = "journal"
)

// orderWrites is what one order writes, in order, where no cup has to be waited for:
// the new list. The bare loop of that name does what is synced of it, and the
// journal's; that barista does just this is counted, not believed.
var orderWrites = []write{
	{"create", fleet.StreamBook, true, false, "one id is one order, wherever it is asked; no bean is promised twice; success is said after it"},
	{"order into the queue", fleet.StreamOrders, true, false, "it waits for a machine, whoever dies; queue and book can each rebuild what the other lost"},
	{"event: accepted", fleet.StreamEvents, false, true, "told to other programs; after a crash told again from the book"},
	{"fence", fleet.StreamBook, true, false, "one machine pours; cancel and fence have one winner; tries are counted"},
	{"journal: start", journals, false, false, "after a kill it is known that metal may have moved; after a power cut nothing is believed to be one's own"},
	{"event: brewing", fleet.StreamEvents, false, true, "as the first"},
	{"journal: end", journals, false, false, "after a kill it is known how it came out; synced where the book does not have it within 1 s"},
	{"end", fleet.StreamBook, true, false, "the end, with the whole outcome, and what was used up"},
	{"journal: confirmed", journals, false, false, "the next start need not ask again"},
	{"event: served", fleet.StreamEvents, false, true, "as the first"},
	{"ack of the ticket", "", true, false, "the message leaves the queue, confirmed by the broker"},
}

// oldWrites is what an order wrote before there was the book: the old list.
var oldWrites = []write{
	{"claim: accepted", oldClaims, true, false, ""},
	{"ledger: reserve", oldLedger, true, false, ""},
	{"order into the queue", fleet.StreamOrders, true, false, ""},
	{"claim: published", oldClaims, true, false, ""},
	{"event: accepted", fleet.StreamEvents, true, true, ""},
	{"claim: claimed", oldClaims, true, false, ""},
	{"claim: brewing", oldClaims, true, false, ""},
	{"event: brewing", fleet.StreamEvents, true, true, ""},
	{"journal: start", journals, true, false, ""},
	{"event: step", fleet.StreamEvents, true, true, ""},
	{"journal: end", journals, true, false, ""},
	{"claim: served", oldClaims, true, false, ""},
	{"event: served", fleet.StreamEvents, true, false, ""},
	{"journal: confirmed", journals, false, false, ""},
	{"ack of the ticket", "", true, false, ""},
	{"ledger: consume", oldLedger, true, true, ""},
}

// newWrites is what the bare loop does of orderWrites: it tells nobody.
var newWrites = slices.DeleteFunc(slices.Clone(orderWrites), func(w write) bool { return w.store == fleet.StreamEvents })

// minimalWrites is the article's: publish, pull, InProgress, DoubleAck.
var minimalWrites = []write{
	{"order into the queue", fleet.StreamOrders, true, false, ""},
	{"ack of the ticket", "", true, false, ""},
}

// stores are all that an order may write to, by any list.
var stores = []string{fleet.StreamBook, fleet.StreamOrders, fleet.StreamEvents, oldClaims, oldLedger, journals}

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
	bookBody   = payload(700)
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

// The bare loops, by the list that they do.
const (
	byOldList = "old list"
	byNewList = "new list"
	byMinimum = "minimum"
)

// bare is one shop of either kind, or its machines.
type bare struct {
	by     string
	watch  *watch
	stages []service.Stage

	ledgerTurn sync.Mutex // of the old list: one entry after the other
	heralds    chan string
	err        chan error // the first

	records atomic.Int64 // in journals
}

func newBare(by string, w *watch) *bare {
	return &bare{by: by, watch: w, heralds: make(chan string, 1024), err: make(chan error, 1)}
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

// openShop opens the broker as barista does, makes the streams of its list, and
// opens the door.
func (b *bare) openShop(ctx context.Context, dir, listen string) (*broker.Broker, error) {
	need := queue.StoreNeeded(configs.DefaultOrdersPerDay)
	srv, err := broker.Open(ctx, broker.Config{Name: "barista", Store: filepath.Join(dir, "broker"), Listen: listen, MaxStore: need + need/4})
	if err != nil {
		return nil, err
	}
	b.add("broker", nil, srv.Close)
	door, doorJS, err := b.connect("controller", srv, "")
	if err != nil {
		return nil, err
	}
	if b.by == byOldList {
		stock, stockJS, err := b.connect("stock", srv, "")
		if err != nil {
			return nil, err
		}
		if err := oldStreams(ctx, doorJS); err != nil {
			return nil, err
		}
		b.add("herald", func(ctx context.Context) error { return b.herald(ctx, doorJS) }, nil)
		if err := b.openBooks(stock, stockJS); err != nil {
			return nil, err
		}
		return srv, b.openDoor(door, func(m *nats.Msg) { b.acceptOld(context.WithoutCancel(ctx), doorJS, stockJS, m) })
	}
	c, err := queue.Connect(ctx, queue.Config{Name: "setup", InProcess: srv, OrdersPerDay: configs.DefaultOrdersPerDay})
	if err != nil {
		return nil, err
	}
	_, err = c.Setup(ctx, fleet.DefaultMenu())
	c.Close()
	if err != nil || b.by == byMinimum {
		return srv, err
	}
	return srv, b.openDoor(door, func(m *nats.Msg) { b.accept(context.WithoutCancel(ctx), doorJS, m) })
}

// oldStreams are those of the old list as they were made then.
func oldStreams(ctx context.Context, js jetstream.JetStream) error {
	stream := func(name, subject string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, MaxBytes: 64 << 20,
			MaxMsgs: -1, MaxMsgSize: 16 << 10, MaxMsgsPerSubject: -1, MaxConsumers: -1, Duplicates: 2 * time.Minute, Replicas: 1, AllowDirect: true,
		}
	}
	orders := stream(fleet.StreamOrders, fleet.OrderSubject(benchClass))
	orders.Retention, orders.MaxMsgs, orders.Duplicates, orders.AllowDirect = jetstream.WorkQueuePolicy, fleet.QueueMax, 15*time.Minute, false
	orders.RePublish = &jetstream.RePublish{Source: "coffee.orders.*.*", Destination: "coffee.wake.{{wildcard(1)}}.{{wildcard(2)}}", HeadersOnly: true}
	events := stream(fleet.StreamEvents, "coffee.events.>")
	events.Discard = jetstream.DiscardOld
	events.RePublish = &jetstream.RePublish{Source: "coffee.events.>", Destination: "coffee.live.>"}
	ledger := stream(oldLedger, oldLedger)
	ledger.DenyDelete = true
	claims := stream(oldClaims, "$KV.coffee-claims.>")
	claims.MaxMsgsPerSubject, claims.AllowRollup, claims.DenyDelete, claims.AllowDirect = 1, true, true, false
	for _, cfg := range []jetstream.StreamConfig{orders, events, ledger, claims} {
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			return fmt.Errorf("make %s: %w", cfg.Name, err)
		}
	}
	_, err := js.CreateConsumer(ctx, fleet.StreamOrders, jetstream.ConsumerConfig{
		Durable: fleet.MakerDurable(benchClass), FilterSubject: fleet.OrderSubject(benchClass), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: fleet.AckWait, MaxDeliver: -1, MaxAckPending: 1000, MaxRequestBatch: 1, MaxRequestExpires: 30 * time.Second,
	})
	return err
}

// accept is the customers' side of the new list: one write, the answer, and the
// order's message.
func (b *bare) accept(ctx context.Context, js jetstream.JetStream, m *nats.Msg) {
	id := idOf(m.Data)
	b.book(ctx, js, fleet.ActSubject(0, id)) // create
	if err := m.Respond(answerBody); err != nil {
		b.fail("answer", err)
	}
	b.order(ctx, js, id, m.Data)
}

// acceptOld is the customers' side of the old one: four writes, then the answer.
func (b *bare) acceptOld(ctx context.Context, js, stockJS jetstream.JetStream, m *nats.Msg) {
	id := idOf(m.Data)
	b.claim(ctx, js, id) // accepted
	b.ledger(ctx, stockJS)
	b.order(ctx, js, id, m.Data)
	b.claim(ctx, js, id) // published
	if err := m.Respond(answerBody); err != nil {
		b.fail("answer", err)
	}
	b.heralds <- id
}

// openDoor takes customers' calls. Orders are served side by side, the writes of
// one are in order.
func (b *bare) openDoor(nc *nats.Conn, accept func(m *nats.Msg)) error {
	var wg sync.WaitGroup
	sub, err := nc.QueueSubscribe(fleet.SubjectRequests, "q", func(m *nats.Msg) { wg.Go(func() { accept(m) }) })
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

func (b *bare) order(ctx context.Context, js jetstream.JetStream, id string, body []byte) {
	if _, err := js.Publish(ctx, fleet.OrderSubject(benchClass), body, jetstream.WithMsgID(id)); err != nil {
		b.fail("order", err)
	}
}

func (b *bare) book(ctx context.Context, js jetstream.JetStream, subject string) {
	if _, err := js.Publish(ctx, subject, bookBody); err != nil {
		b.fail("book", err)
	}
}

func (b *bare) claim(ctx context.Context, js jetstream.JetStream, id string) {
	if _, err := js.Publish(ctx, "$KV.coffee-claims."+id, claimBody); err != nil {
		b.fail("claim", err)
	}
}

func (b *bare) ledger(ctx context.Context, js jetstream.JetStream) {
	b.ledgerTurn.Lock()
	defer b.ledgerTurn.Unlock()
	if _, err := js.Publish(ctx, oldLedger, ledgerBody); err != nil {
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
	if _, err := nc.ChanSubscribe(servedEvents, served); err != nil {
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

	serve := map[string]func(context.Context, *nats.Msg, chan<- [2]string){byOldList: m.makeOld, byNewList: m.makeNew, byMinimum: m.makeMinimal}[m.by]
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

// makeNew is one order at the machine, by the new list.
func (m *bareMachine) makeNew(ctx context.Context, msg *nats.Msg, _ chan<- [2]string) {
	id := idOf(msg.Data)
	m.inProgress(msg)
	m.book(ctx, m.js, fleet.StateSubject(id)) // fence
	m.record(false)                           // start
	m.watch.relay(id, m.name)
	m.record(false)                           // end
	m.book(ctx, m.js, fleet.StateSubject(id)) // end
	m.record(false)                           // confirmed
	m.watch.served(id)
	m.ack(msg)
}

// makeOld is one order at the machine, by the old list.
func (m *bareMachine) makeOld(ctx context.Context, msg *nats.Msg, news chan<- [2]string) {
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
	_, err := m.journal.Write(recordBody)
	if err == nil && durable {
		err = m.journal.Sync()
	}
	if err != nil {
		m.fail("journal", err)
	}
	m.records.Add(1)
}

// bareContender is a bare loop, or the minimum.
func bareContender(by string, list []write) contender {
	return contender{
		name: by,
		list: list,
		shop: func(ctx context.Context, dir string) (*party, error) {
			b := newBare(by, nil)
			srv, err := b.openShop(ctx, dir, "127.0.0.1:0")
			if err != nil {
				service.CloseAll(b.stages)
				return nil, err
			}
			return b.party(srv, srv.URL()), nil
		},
		open: func(ctx context.Context, dir, url string, machines int, w *watch) (*party, error) {
			b := newBare(by, w)
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
				return map[string]int{journals: int(b.records.Load())}
			}
			return p, nil
		},
		call: func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, body []byte) error {
			if by == byMinimum {
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
