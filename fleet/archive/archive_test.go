package archive

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

var many = flag.Int("events", 600, "how many events are kept in a test of restarts; make chaos keeps 10,000")

var servers = flag.Bool("postgres", false, "with a PostgreSQL too, which is killed in the middle: half a minute")

// life is three events of an order.
func life(id string) []fleet.Event {
	missed := -3.5
	o := &fleet.Order{ID: id, Name: "Ada Lovelace", Size: fleet.Medium, Bean: "arabica", Milk: "soja", Sugar: 2}
	at := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	return []fleet.Event{
		{Order: id, Kind: fleet.EvAccepted, Epoch: 1, At: at, Name: o.Name, What: o, ETA: []int{20, 40}},
		{Order: id, Kind: fleet.EvEnd, Epoch: 1, At: at.Add(time.Minute), Machine: "zoe", Outcome: fleet.Spoiled, Seconds: 12.5, Reason: fleet.Reason{Code: "no-flow", Quote: "said Ada Lovelace", Text: "Ada Lovelace"}},
		{Order: id, Kind: fleet.EvServed, Epoch: 2, At: at.Add(2 * time.Minute), Machine: "leo", Outcome: fleet.Made, By: "Ada Lovelace", ETAError: &missed},
	}
}

func id(i int) string { return ulid.MustNew(uint64(1_700_000_000_000+i), zeros{}).String() }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// dump is every row as text.
func (a *Archive) dump(t *testing.T) []string {
	t.Helper()
	rows, err := a.db.Query("SELECT * FROM " + table + " ORDER BY at, id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for i, v := range values {
			if v != nil {
				line = append(line, fmt.Sprintf("%s=%v", columns[i].name, v))
			}
		}
		out = append(out, strings.Join(line, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// once wants each event there, once.
func (a *Archive) once(t *testing.T, orders int) {
	t.Helper()
	var rows, ids, whole int
	q := "SELECT count(*), count(DISTINCT id), count(DISTINCT CASE WHEN kind = 'served' THEN order_id END) FROM " + table
	if err := a.db.QueryRow(q).Scan(&rows, &ids, &whole); err != nil {
		t.Fatal(err)
	}
	if rows != 3*orders || ids != rows || whole != orders {
		t.Errorf("%d rows with %d ids, %d orders to their end; wanted %d and %d", rows, ids, whole, 3*orders, orders)
	}
}

func open(t *testing.T, cfg Config) *Archive {
	t.Helper()
	a, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func stored(events ...fleet.Event) (out []fleet.StoredEvent) {
	for i, e := range events {
		out = append(out, fleet.StoredEvent{ID: e.Order + "." + e.Slot(), Seq: uint64(i + 1), Stored: time.Now(), Event: e})
	}
	return out
}

// TestRows: what is kept of an event, and that it is nothing of a person; again is
// nothing new; and what is old goes.
func TestRows(t *testing.T) {
	cfg := Config{File: filepath.Join(t.TempDir(), "odd? #name.db"), KeepDays: 30}
	a := open(t, cfg)
	for range 2 {
		if err := a.write(t.Context(), stored(append(life(id(1)), fleet.Event{Order: fleet.PoisonID("coffee-intake", 3), Kind: fleet.EvRefused, Epoch: 1, At: time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC), Payload: []byte("Ada Lovelace"), Subject: "coffee.orders.x"})...)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"id=" + id(1) + ".accepted at=2026-11-30 09:00:00.000 order_id=" + id(1) + " kind=accepted epoch=1 by_person=0 eta_low=20 eta_high=40 size=medium bean=arabica milk=soja sugar=2",
		"id=" + id(1) + ".end-1 at=2026-11-30 09:01:00.000 order_id=" + id(1) + " kind=end epoch=1 machine=zoe outcome=spoiled code=no-flow by_person=0 seconds=12.5",
		"id=" + id(1) + ".served at=2026-11-30 09:02:00.000 order_id=" + id(1) + " kind=served epoch=2 machine=leo outcome=made by_person=1 eta_error=-3.5",
		"id=poison-coffee-intake-3.refused at=2026-11-30 10:00:00.000 order_id=poison-coffee-intake-3 kind=refused epoch=1 by_person=0",
	}
	if diff := cmp.Diff(want, a.dump(t)); diff != "" {
		t.Error(diff)
	}
	a.Close()
	all, _ := filepath.Glob(cfg.File[:len(cfg.File)-len("odd? #name.db")] + "*")
	if len(all) != 1 || filepath.Base(all[0]) != "odd? #name.db" {
		t.Errorf("files: %q", all)
	}
	if b, err := os.ReadFile(cfg.File); err != nil || strings.Contains(string(b), "Lovelace") {
		t.Errorf("a name is in the file, or it can't be read: %v", err)
	}
	a = open(t, cfg)
	if err := a.clean(t.Context(), time.Date(2026, 12, 30, 9, 1, 30, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	if got := a.dump(t); len(got) != 2 {
		t.Errorf("after a month: %q", got)
	}
}

// TestText: whatever an event says, it does not hold up the others.
func TestText(t *testing.T) {
	a := open(t, Config{File: filepath.Join(t.TempDir(), "a.db")})
	e := life(id(1))[1]
	e.Machine, e.Code = "zoe\x00'; DROP TABLE barista_events; --", "\xff"
	if err := a.write(t.Context(), stored(e)); err != nil {
		t.Fatal(err)
	}
	if got := a.dump(t); len(got) != 1 || !strings.Contains(got[0], "machine=zoe'; DROP TABLE barista_events; -- ") || !strings.Contains(got[0], "code=? ") {
		t.Errorf("%q", got)
	}
}

// TestFileInTheWay says what is wrong with a file.
func TestFileInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database at all\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{File: path}); err == nil || !strings.HasPrefix(err.Error(), "a.db: ") {
		t.Errorf("%v", err)
	}
	_, err := Open(Config{Postgres: "postgres://barista:hunter2@h:port/"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// runs runs an archive against a broker until it is told to stop.
func runs(t *testing.T, b *brokertest.Broker, a *Archive, after func() error) (stop func()) {
	t.Helper()
	c := b.Connect("archive")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- a.Run(ctx, Parts{Keep: func(ctx context.Context, most int, keep func(context.Context, []fleet.StoredEvent) error) error {
			return c.KeepEvents(ctx, most, func(ctx context.Context, batch []fleet.StoredEvent) error {
				return errors.Join(keep(ctx, batch), after())
			})
		}})
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Close()
	}
}

// through tells events to a broker, ends and begins archive, broker and database in the
// middle, and wants each event once. between is called now and then: what hurts the
// database. Now and then a batch that was kept is not confirmed.
func through(t *testing.T, cfg Config, between func(i int)) {
	b := brokertest.Start(t)
	orders := *many / 3
	published := make(chan error, 1)
	c := b.Connect("herald")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	go func() { published <- publish(ctx, c, orders) }()
	batches := 0
	after := func() error {
		if batches++; batches%3 == 2 {
			return errors.New("a test: the database has it, and the shop does not hear it")
		}
		return nil
	}
	a := open(t, cfg)
	count := func() (n int) {
		if a.db.QueryRow("SELECT count(*) FROM "+table).Scan(&n) != nil {
			return 0
		}
		return n
	}
	for i := range 4 {
		stop := runs(t, b, a, after)
		brokertest.Eventually(t, "a part of it", func() bool { return count() >= 3*orders*(i+1)/5 })
		switch i {
		case 0, 2:
			b.Restart()
		case 1:
			between(i)
		}
		stop()
		a.Close() // and a new one, as after a kill of the process
		a = open(t, cfg)
	}
	stop := runs(t, b, a, func() error { return nil })
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "all of it", func() bool { return count() == 3*orders })
	stop()
	a.once(t, orders)
}

// publish tells the events, and again where it is not known whether it came.
func publish(ctx context.Context, c *queue.Conn, orders int) error {
	for i := range orders {
		for _, e := range life(id(i)) {
			told := func() error {
				one, cancel := context.WithTimeout(ctx, 5*time.Second) // an answer may be lost for good
				defer cancel()
				return c.Events().Publish(one, e, uint64(i+1))
			}
			for told() != nil {
				if !fleet.Pause(ctx, 100*time.Millisecond) {
					return ctx.Err()
				}
			}
		}
	}
	return nil
}

// TestSQLite keeps events over restarts of the broker and of the archive.
func TestSQLite(t *testing.T) {
	begun := time.Now()
	through(t, Config{File: filepath.Join(t.TempDir(), "archive.db")}, func(int) {})
	t.Logf("%d events in %v", *many/3*3, time.Since(begun).Round(time.Millisecond))
}

// TestPostgreSQL does the same with Debian's PostgreSQL, which is killed in the middle.
func TestPostgreSQL(t *testing.T) {
	if !*servers {
		t.Skip("by hand: -postgres")
	}
	p := newPostgres(t)
	begun := time.Now()
	through(t, Config{Postgres: p.url, Password: word(p.password)}, func(int) { p.kill(); p.start() })
	t.Logf("%d events in %v", *many/3*3, time.Since(begun).Round(time.Millisecond))

	a := open(t, Config{Postgres: p.url, Password: word(p.password)})
	if got := a.dump(t); !strings.Contains(got[0], " kind=accepted epoch=1 by_person=false eta_low=20 eta_high=40 size=medium bean=arabica milk=soja sugar=2") {
		t.Errorf("%s", got[0])
	}
	// Not by a wrong password, and it is in no message.
	if err := open(t, Config{Postgres: p.url, Password: word("hunter2")}).write(t.Context(), stored(life(id(1))...)); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// word is a password, as a file has it.
func word(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// TestNoPassword: without the password nobody is asked to let anybody in.
func TestNoPassword(t *testing.T) {
	a := open(t, Config{Postgres: "postgres://barista@127.0.0.1:1/", Password: func() (string, error) { return "", errors.New("others may read it") }})
	if err := a.write(t.Context(), stored(life(id(1))...)); err == nil || !strings.Contains(err.Error(), "the database's password: others may read it") {
		t.Errorf("%v", err)
	}
}

// server is a PostgreSQL of this test, in a folder of its own.
type server struct {
	t             *testing.T
	bin, dir, url string
	password      string
	who           *syscall.Credential
}

func newPostgres(t *testing.T) *server {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(bins) == 0 {
		t.Skip("no PostgreSQL: apt-get install postgresql")
	}
	s := &server{t: t, bin: filepath.Dir(bins[len(bins)-1])}
	var err error
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil { // its socket's path must be short, and its user must reach it
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	if os.Getuid() == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	s.password = "an odd 'pass' word"
	if err := os.WriteFile(filepath.Join(s.dir, "pw"), []byte(s.password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.who != nil {
		os.Chown(filepath.Join(s.dir, "pw"), int(s.who.Uid), int(s.who.Gid))
	}
	s.run("initdb", "-D", s.dir+"/data", "-U", "barista", "--pwfile", s.dir+"/pw", "-A", "scram-sha-256", "--no-sync")
	s.url = "postgres://barista@localhost/postgres?sslmode=disable&host=" + s.dir
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) run(tool string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, tool), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", tool, err, out)
	}
}

func (s *server) start() {
	s.t.Helper()
	s.run("pg_ctl", "start", "-w", "-D", s.dir+"/data", "-l", s.dir+"/log", "-o", "-c listen_addresses='' -k "+s.dir)
}

// kill ends it as a power cut would end its programs.
func (s *server) kill() {
	s.t.Helper()
	s.run("pg_ctl", "stop", "-w", "-D", s.dir+"/data", "-m", "immediate")
}
