package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"barista/cmd/barista/chaos"
	"barista/cmd/barista/gate"
	"barista/cmd/barista/health"
	"barista/cmd/barista/home"
	"barista/cmd/barista/page"
	"barista/cmd/barista/reach"
	"barista/cmd/barista/service"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/driver/guard"
	"barista/fleet"
	"barista/fleet/archive"
	"barista/fleet/broker"
	"barista/fleet/client"
	"barista/fleet/controller"
	"barista/fleet/desk"
	"barista/fleet/doctor"
	"barista/fleet/ledger"
	"barista/fleet/metrics"
	"barista/fleet/presence"
	"barista/fleet/queue"
	"barista/fleet/stock"
	"barista/fleet/web"
	"barista/fleet/window"
	"barista/fleet/witness"
	"barista/fleet/worker"
	"barista/machine/station"
)

// shop is everything that one process runs: by its configuration the shop
// around the machines, one machine, or all of it. It is the only place where
// rooms are joined. main and the end-to-end tests use the same one.
type shop struct {
	log    *slog.Logger
	file   *configs.File
	stages []service.Stage // in the order of their start

	broker    *broker.Broker                           // nil without the role
	gate      *gate.Gate                               // of the broker; nil where it lets everybody in
	way       *reach.Way                               // to the broker of others; nil with one of its own
	page      *page.Page                               // of the web role
	ledger    *ledger.Ledger                           // nil where nothing is decided
	doctor    *doctor.Doctor                           // nil without the role of the controller
	roll      *presence.Roll                           // the same
	brokerNow func(context.Context) (time.Time, error) // nil where nothing is decided
	metrics   *metrics.Metrics
	told      net.Addr // of metrics; nil where the file has none
	ctl       *controller.Controller
	stock     *stock.Stock
	machines  []*member
	conns     []*queue.Conn // of the roles
	notify    *service.Notifier
	through   bool // this process's key sees no stream: a controller's window shows the shop
	seams     seams
	chaos     *chaos.Room // of a demo alone
}

// seams let a test stand between the rooms, to end the process at a chosen
// step. They are empty in the program.
type seams struct {
	worker     func(*worker.Parts, *worker.Config)
	controller func(controller.Parts) controller.Parts
	desk       func(desk.Parts) desk.Parts
}

// member is one machine of the process, with its way to the shop.
type member struct {
	*station.Station
	file   *configs.Machine
	saw    *witness.File                 // how far it has seen the shop's book
	worker atomic.Pointer[worker.Worker] // of its present life
	told   *metrics.Station
	anew   atomic.Pointer[station.Station] // of its present life; nil: the first

	conn    atomic.Pointer[queue.Conn]     // nil until the shop was found
	missing atomic.Bool                    // it was looked for, and was not there
	refused atomic.Pointer[queue.Unusable] // why it is of no use, as long as conn is nil
}

// throughMetal stands between driver and guard: the virtual machine's test binary
// blocks a sensor there. The program has none.
var throughMetal func(driver.Rig) driver.Rig

// brokerWait is how long a service waits for its broker at start.
const brokerWait = 30 * time.Second

// openShop opens the roles of a file, and more machines of the same kind if the
// demo wants some. Nothing moves: every output is put at rest and nothing is
// taken from the queue before run.
func openShop(ctx context.Context, log *slog.Logger, f *configs.File, more ...*configs.Machine) (*shop, error) {
	s := newShop(log, f)
	return s, s.open(ctx, more)
}

func newShop(log *slog.Logger, f *configs.File) *shop {
	return &shop{log: log, file: f, notify: service.New(log)}
}

func (s *shop) open(ctx context.Context, more []*configs.Machine) (err error) {
	f := s.file
	defer func() {
		if err != nil {
			service.CloseAll(s.stages)
		}
	}()
	if f.NATS != nil {
		if s.way, err = reach.OfService(f.NATS, strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path))); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(f.State, 0o750); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	// The machine first: when its metal does not answer, or somebody else drives
	// it, the rest is not worth starting.
	machines := more
	if f.Machine != nil {
		machines = append([]*configs.Machine{f.Machine}, more...)
	}
	var rigs []service.Stage
	for _, m := range machines {
		err := s.measuredFits(m)
		var st *station.Station
		var saw *witness.File
		loop := s.notify.Loop()
		if err == nil {
			st, err = openStation(ctx, s.chaos.Log(m.Name, s.log), s.file, m, loop)
		}
		if err == nil {
			rigs = append(rigs, service.Stage{Name: "machine " + m.Name, Run: st.Run, Close: st.Close})
			saw, err = witness.OpenFile(filepath.Join(station.Folder(f.State, m.Name), "book.mark"), s.log.With("machine", m.Name))
		}
		if err != nil {
			service.CloseAll(rigs)
			return fmt.Errorf("machine %s: %w", m.Name, err)
		}
		b := &member{Station: st, file: m, saw: saw}
		b.told = health.Station(m.Name, b.at, func() bool { c := b.conn.Load(); return c != nil && c.Up() })
		s.machines = append(s.machines, b)
		rigs = append(rigs, service.Stage{Name: "mark of " + m.Name, Close: saw.Close})
	}
	if f.Broker != nil {
		if err := s.openBroker(ctx); err != nil {
			service.CloseAll(rigs)
			return err
		}
	}
	if err := s.openRoles(ctx); err != nil {
		service.CloseAll(rigs)
		return err
	}
	s.stages = append(s.stages, rigs...)
	after := len(s.stages)
	for i, m := range machines {
		open := s.openWorker
		if s.alone() {
			open = s.openLater
		}
		if err := open(ctx, s.machines[i], m); err != nil {
			return fmt.Errorf("machine %s: %w", m.Name, err)
		}
	}
	if s.chaos != nil {
		s.mortal(after)
	}
	return nil
}

// run works until ctx ends, then stops in the reverse order: the drinks in hand
// are finished, then the outputs are seen off, then the shop closes.
func (s *shop) run(ctx context.Context) error { return service.Run(ctx, s.stages) }

// serve is run as a service: the service manager is told how it goes.
func (s *shop) serve(ctx context.Context) error {
	defer s.notify.Start(ctx, s.words)()
	return s.run(ctx)
}

func (s *shop) add(name string, run func(context.Context) error, close func() error) {
	s.stages = append(s.stages, service.Stage{Name: name, Run: run, Close: close})
}

func (s *shop) openBroker(ctx context.Context) error {
	f := s.file
	need := queue.StoreNeeded(f.Broker.OrdersPerDay)
	if err := os.MkdirAll(f.Broker.Store, 0o700); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(f.Broker.Store, &fs); err == nil {
		if free := int64(fs.Bavail) * int64(fs.Bsize); free < 64<<20 {
			return fmt.Errorf("broker: only %d MiB are free at %s; orders need space that can't run out: make room", free>>20, f.Broker.Store)
		} else if free < need {
			s.log.Warn("the disk is smaller than the streams may grow", "free_mib", free>>20, "streams_mib", need>>20)
		}
	}
	there, err := broker.Streams(f.Broker.Store)
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	cfg := broker.Config{
		Name: broker.Name, Store: f.Broker.Store, Listen: f.Broker.Listen, MQTT: f.Broker.MQTT, MaxStore: queue.StoreBound(f.Broker.OrdersPerDay, there), Ours: queue.StreamNames(), Log: s.log,
	}
	if cfg.MQTT != "" {
		cfg.MaxStore += fleet.HomeStore
	}
	if !f.Broker.NoKeys {
		own := slices.Clone(f.Broker.Machines)
		for _, m := range s.machines {
			own = append(own, m.file.Name)
		}
		if s.gate, err = gate.Open(gate.Config{State: f.State, Machines: own, Article: f.Broker.Article, MQTT: cfg.MQTT != "", Stored: there, Log: s.log}); err != nil {
			return err
		}
		cfg = s.gate.Before(cfg)
	}
	if cfg, err = reach.Sites(cfg, f.Broker, there); err != nil {
		return err
	}
	b, err := broker.Open(ctx, cfg)
	if errors.Is(err, broker.ErrLocked) {
		return term.Fail(term.ExitRefused, "is another shop running? stop it first", "%w: %s", err, f.Broker.Store)
	}
	if err != nil {
		return err
	}
	s.broker = b
	if s.gate != nil {
		s.gate.Guards(b)
	}
	s.add("broker", func(ctx context.Context) error { return service.Watch(ctx, b.Healthy) }, b.Close)
	return nil
}

// measuredFits looks at what was measured on the machine as the check of its file
// did at the file, which does not know it. The machine stays off until a person
// has decided, and systemd does not try again.
func (s *shop) measuredFits(m *configs.Machine) error {
	plan, _, err := station.InForce(m.Plan, station.Folder(s.file.State, m.Name))
	if err != nil {
		return err
	}
	if why := m.TooSlow(plan.Calibration); why != "" {
		return term.Fail(term.ExitConfig, "barista calibrate grinder|pump|milk --rollback, shorten the rests, or take the largest size out of serves", "%s: as it was measured, %s", m.Name, why)
	}
	return nil
}

// connect opens a role's own connection; it is closed when the role has ended.
func (s *shop) connect(ctx context.Context, name string) (*queue.Conn, error) {
	cfg := s.queueConfig(name)
	cfg.Within = brokerWait
	c, err := queue.Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, c)
	s.add("connection "+name, nil, func() error { c.Close(); return nil })
	return c, nil
}

func (s *shop) queueConfig(name string) queue.Config {
	isMachine := slices.ContainsFunc(s.machines, func(m *member) bool { return m.file.Name == name })
	cfg := queue.Config{Name: name, Log: s.chaos.Log(name, s.log), Service: reach.Service(s.file, name, isMachine, thisBuild().Version)}
	if s.broker != nil {
		cfg.InProcess = s.chaos.Wire(name, s.broker)
		cfg.OrdersPerDay = s.file.Broker.OrdersPerDay
		if s.gate != nil {
			cfg = s.gate.As(cfg)
		}
		return cfg
	}
	s.way.Into(&cfg)
	cfg.OrdersPerDay, cfg.Replicas = s.file.NATS.OrdersPerDay, s.file.NATS.Replicas
	// An operator may accept the key yet, and whoever looks after the broker mend the
	// rest: the service is there when it is done.
	cfg.Refused = func(u *queue.Unusable) {
		s.log.Error("no way to the shop's broker, it goes on trying: "+u.Error(), "conn", name)
	}
	return cfg
}

func (s *shop) openRoles(ctx context.Context) error {
	f := s.file
	if f.Controller != nil || f.Stock != nil {
		if err := s.openCounter(ctx); err != nil {
			return err
		}
	}
	if err := s.openMetrics(); err != nil {
		return err
	}
	if s.gate != nil {
		if err := s.openDoor(ctx); err != nil {
			return err
		}
	}
	if f.Web != nil {
		if err := s.openWeb(ctx); err != nil {
			return err
		}
	}
	if f.Archive != nil {
		if err := s.openArchive(ctx); err != nil {
			return err
		}
	}
	if f.Alerts != nil {
		if err := s.openAlerts(ctx); err != nil {
			return err
		}
	}
	s.openPulse()
	if f.HomeAssistant != nil {
		return s.openHomeAssistant(ctx)
	}
	return nil
}

func (s *shop) openHomeAssistant(ctx context.Context) error {
	c, err := s.connect(ctx, "homeassistant")
	if err != nil {
		return err
	}
	s.stages = append(s.stages, home.Stage(s.file.HomeAssistant, c, s.ctl, s.roll, thisBuild().Version, s.log))
	return nil
}

// openAlerts tells who is not looking what barista status would say.
func (s *shop) openAlerts(ctx context.Context) error {
	c, err := s.connect(ctx, "alerts")
	if err != nil {
		return err
	}
	a, err := reach.Alerts(s.file.Alerts, filepath.Base(s.file.State), reach.Shop(c, false), s.log)
	if err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	s.add("alerts", a.Run, nil)
	return nil
}

func (s *shop) openArchive(ctx context.Context) error {
	a, err := reach.Archive(s.file.Archive, s.log)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	s.add("archive file", nil, a.Close)
	c, err := s.connect(ctx, "archive")
	if err != nil {
		return err
	}
	s.add("archive", func(ctx context.Context) error { return a.Run(ctx, archive.Parts{Keep: c.KeepEvents}) }, nil)
	return nil
}

// openDoor lets others in, and puts them out.
func (s *shop) openDoor(ctx context.Context) error {
	c, err := s.connect(ctx, "door")
	if err != nil {
		return err
	}
	d := s.gate.Door
	d.Server = c.Server()
	if s.ctl != nil {
		d.Left = s.ctl.Left
		s.gate.Serves(func() []fleet.Class { return s.ctl.Menu().Classes() })
	}
	s.add("door", d.Run, nil)
	return nil
}

// openCounter opens what decides on orders and stock: one connection, and the book
// followed once for all of it.
func (s *shop) openCounter(ctx context.Context) error {
	f := s.file
	name := "controller"
	if f.Controller == nil {
		name = "stock"
	}
	c, err := s.connect(ctx, name)
	if err != nil {
		return err
	}
	if f.Controller != nil {
		if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
		s.add("streams", func(ctx context.Context) error { return c.Keep(ctx, fleet.DefaultMenu()) }, nil)
		if err := s.openDoctor(ctx, c); err != nil {
			return err
		}
	}
	saw, err := s.openWitness(c)
	if err != nil {
		return err
	}
	book := saw.Book()
	s.brokerNow = book.Now
	s.ledger = ledger.New(ledger.Parts{Book: book, Shelf: stock.NewShelf(s.log.With("room", "stock")), Settings: c.Settings(), Log: s.log.With("room", "ledger")}, ledger.Config{})
	s.add("ledger", s.ledger.Run, nil)
	if f.Stock != nil {
		s.stock = stock.New(stock.Parts{
			Ledger: s.ledger, Settings: c.Settings(), Server: c.Server(), Snapshot: c.Snapshot, Log: s.log.With("room", "stock"),
		}, stock.Config{Initial: f.Stock.Initial})
		s.add("stock", s.stock.Run, nil)
	}
	if f.Controller == nil {
		return nil
	}
	log := s.log.With("room", "controller")
	roll := presence.New(reach.Seen(c, log))
	s.roll = roll
	parts := controller.Parts{
		Book: book, Ledger: s.ledger, Witness: saw, Orders: c.Orders(), Intake: c.Intake(), Events: c.Events(), Settings: c.Settings(),
		Roll: roll, Server: c.Server(), Requester: c.Requester(), Pending: c.Pending, IntakeWaiting: c.IntakeWaiting, Boot: guard.SinceBoot, Log: log,
		Troubles: s.troubles(c),
	}
	if s.stock != nil {
		parts.Stocked = s.stock.Filled()
	}
	at := desk.Parts{
		Book: book, Witness: saw, Events: c.Events(), Fleet: c.Fleet(), Roll: roll, Settings: c.Settings(), Server: c.Server(), Requester: c.Requester(),
		Wrote: s.ledger.Wrote, Age: s.ledger.Age, Waiting: s.ledger.Waiting, Queue: s.ledger.Queue, Reconnected: c.Reconnected, Log: s.log.With("room", "desk"),
	}
	if s.seams.controller != nil {
		parts = s.seams.controller(parts)
	}
	if s.seams.desk != nil {
		at = s.seams.desk(at)
	}
	cfg := controller.Config{Requests: f.Controller.Requests, Intake: f.Controller.Intake, ExpireAfter: f.Controller.ExpireAfter}
	cfg.CustomersSettle = f.Controller.CustomersSettle || f.Web != nil && f.Web.CustomersSettle
	run := s.follow(&cfg.Alive)
	s.ctl = controller.New(parts, cfg)
	s.add("presence", roll.Run, nil)
	s.add("desk", desk.New(at).Run, nil)
	s.add("readiness", func(ctx context.Context) error { return c.KeepReady(ctx, desk.Here(c.Requester())) }, nil)
	s.add("window", window.New(reach.Window(c, s.ledger, roll, s.log.With("room", "window"))).Run, nil)
	s.add("controller", run(s.ctl.Run), nil)
	return nil
}

// troubles are those of the broker and of the records, and a site's of its hub.
func (s *shop) troubles(c *queue.Conn) func() []fleet.Trouble {
	all := []func() []fleet.Trouble{c.Troubles, s.doctor.Troubles}
	if s.broker != nil && s.file.Broker.Leaf != nil {
		hub := c.Hub(func() bool { _, up := s.broker.Linked(); return up })
		s.add("look at the hub", hub.Run, nil)
		all = append(all, hub.Troubles)
	}
	return func() (out []fleet.Trouble) {
		for _, of := range all {
			out = append(out, of()...)
		}
		return out
	}
}

// openDoctor puts back what the store has lost of the settings before anybody acts
// on them, and has what is written down looked at from then on.
func (s *shop) openDoctor(ctx context.Context, c *queue.Conn) error {
	d := doctor.New(reach.Records(c, false), doctor.Config{
		Copy: filepath.Join(s.file.State, "settings.copy"), Keys: c.Settings(), Remove: c.Orders().Remove, Server: c.Server(), Log: s.log.With("room", "doctor"),
	})
	if err := d.Mend(ctx); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	s.doctor = d
	s.add("doctor", d.Run, nil)
	return nil
}

// openWitness opens what looks whether the book is whole.
func (s *shop) openWitness(c *queue.Conn) (*witness.Witness, error) {
	p := witness.Parts{Book: c.Book(), Made: c.BookMade, Link: c, Ask: c.AskAll, Server: c.Server(), Log: s.log.With("room", "witness")}
	if s.file.Controller != nil { // machines tell nobody else what they know
		p.Known = reach.Seen(c, nil).Names
	}
	w, err := witness.New(p, witness.Config{Dir: s.file.State, Boot: boot(), Up: func() time.Duration { _, up := guard.SinceBoot(); return up }, Alone: s.broker != nil})
	if err == nil {
		s.add("witness", w.Run, w.Close)
	}
	return w, err
}

// followed is the book whose records come by the process's one follower.
type followed struct {
	web.Book
	ledger *ledger.Ledger
}

func (b followed) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	return b.ledger.Follow(ctx, from, each, ready)
}

func (s *shop) openWeb(ctx context.Context) error {
	c, err := s.connect(ctx, "web")
	if err != nil {
		return err
	}
	asker := reach.Shop(c, s.through)
	if s.gate != nil {
		asker.Door = s.gate.Door
	}
	levels := asker.Stock.Levels
	if s.stock != nil {
		levels = s.stock.Levels
	}
	remote := controller.Remote(c.Requester())
	var door web.Shop = remote
	trouble := remote.Troubles
	var acts web.Acts // a website's key alone may change nothing
	if s.ctl != nil {
		door, trouble = s.ctl, s.ctl.Troubles
		acts = struct {
			client.Shop
			client.Controller
			client.Stock
		}{asker, asker.Controller, asker.Stock}
	}
	book := reach.Book(c, s.through)
	if s.ledger != nil {
		book = followed{book, s.ledger}
	}
	parts := web.Parts{
		Shop: door, Book: book, Live: c.Events().FollowLive, Machines: asker.Machines, Levels: levels, Command: asker.Command, Acts: acts,
		Troubles: trouble, Health: s.metrics, Log: s.log.With("room", "web"),
	}
	if s.gate != nil {
		parts.Door, parts.TLS = s.gate.Door, s.gate.TLS()
	}
	if s.chaos != nil {
		parts.Chaos = s.chaos.Join(chaos.Parts{Place: door.Place, Menu: door.Menu, Book: book, Live: parts.Live, Roll: s.roll, Command: asker.Command, Levels: levels, Count: asker.Stock.Count})
		s.add("chaos", s.chaos.Run, nil)
	}
	s.page, err = page.Open(s.file, parts)
	if err != nil {
		return err
	}
	s.add("web address", nil, func() error { s.page.Close(); return nil })
	s.add("pages", s.page.Run, nil)
	s.add("web", s.page.Serve, nil)
	return nil
}

// openStation opens a machine of a file; the loop, if there is one, hears of it.
func openStation(ctx context.Context, log *slog.Logger, f *configs.File, m *configs.Machine, l *service.Loop) (*station.Station, error) {
	c := station.Config{
		Dir: station.Folder(f.State, m.Name), Plan: m.Plan, Metal: m.Settings, Text: f.Text,
		Log: log.With("machine", m.Name), Through: throughMetal,
	}
	if l != nil {
		c.Alive, c.Ended = l.Alive, l.Ended
	}
	return station.Open(ctx, c)
}

func (s *shop) openWorker(ctx context.Context, st *member, m *configs.Machine) error {
	c, err := s.connect(ctx, m.Name)
	if err != nil {
		return err
	}
	w, err := s.worker(c, st, m)
	if err != nil {
		return err
	}
	st.worker.Store(w)
	s.add("worker "+m.Name, w.Run, nil)
	return nil
}

func (s *shop) worker(c *queue.Conn, st *member, m *configs.Machine) (*worker.Worker, error) {
	st.conn.Store(c)
	parts := worker.Parts{
		Desk: s.chaos.Desk(m.Name, st.told.Desk(worker.NewDesk(c.Requester(), m.Name, witness.Own{File: st.saw}))), Live: st.told.Live(c.Events()), Tickets: s.chaos.Tickets(m.Name, c.Tickets()), Server: c.Server(), Machine: st.at().Machine, Log: s.chaos.Log(m.Name, s.log),
	}
	cfg := workerConfig(m)
	cfg.Swapped = st.at().Swapped
	if s.seams.worker != nil {
		s.seams.worker(&parts, &cfg)
	}
	return worker.New(parts, cfg)
}

// at is the station that the machine has now.
func (b *member) at() *station.Station { return cmp.Or(b.anew.Load(), b.Station) }

// mortal makes the machines of a demo such that they can be killed. Their stages end at
// after, and those of their ways to the shop follow, two for each.
func (s *shop) mortal(after int) {
	all, n := s.stages, len(s.machines)
	s.stages = slices.Clone(all[:after-2*n])
	for i, b := range s.machines {
		rig, way := all[after-2*(n-i):], all[after+2*i:]
		first := chaos.Life{Machine: rig[0], Rest: way[:2:2]}
		again := func(ctx context.Context) (chaos.Life, error) {
			t := *s
			t.stages, t.conns = nil, nil
			st, err := openStation(ctx, s.chaos.Log(b.file.Name, s.log), s.file, b.file, nil)
			if err != nil {
				return chaos.Life{}, err
			}
			b.anew.Store(st)
			err = t.openWorker(ctx, b, b.file)
			return chaos.Life{Machine: service.Stage{Name: rig[0].Name, Run: st.Run, Close: st.Close}, Rest: t.stages}, err
		}
		s.stages = append(s.stages, rig[1], s.chaos.Lives(b.file.Name, station.Folder(s.file.State, b.file.Name), first, behind(b.file), again))
	}
}

// boot names this boot of the kernel. Where the kernel has no name for it, every start
// counts as one: that only makes more outcomes unknown.
func boot() string { return cmp.Or(guard.BootID(), "process-"+strings.ToLower(rand.Text())) }

func workerConfig(m *configs.Machine) worker.Config {
	return worker.Config{
		Name: m.Name, Driver: m.Driver, Cup: string(m.Cup), Classes: m.Serves.Classes(), Sizes: m.Serves.Sizes, MinWaiting: m.MinWaiting,
		Boot: boot(), Version: thisBuild().Version, Menu: fleet.DefaultMenu(),
	}
}
