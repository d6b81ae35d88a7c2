package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"barista/driver/plant"
	"barista/fleet"
)

var countSyncs = flag.Bool("syncs", false, "TestSyncsOfAnOrder counts under strace, for four minutes")

// What is counted, and the aims.
const (
	syncOrders = 12
	syncApart  = time.Second
	syncIdle   = 60 * time.Second
	// syncRest is how long the broker takes to write each stream's index anew, once
	// after its last change (2 min, seen): that is the last order's and no idling.
	syncRest = 125 * time.Second
	// stretched is what each fsync is lengthened to, about: that of an SD card that
	// is no good. What a customer then waits, by it, is how many wait for each other.
	stretched = 20 * time.Millisecond

	aimSyncs   = 6                     // of an order in all
	aimSuccess = 1                     // one after the other, from the call to "success"
	aimRow     = 3                     // from the call to the first relay
	aimSlow    = 80 * time.Millisecond // from the call to the first relay, stretched
)

// syncReasons says of each file that an order may sync what for. A file that is
// not here is one that nobody has thought of.
var syncReasons = map[string]string{
	"stream coffee-book, records":      "create; fence; end: each the truth of an order, and what it takes of the stock",
	"stream coffee-orders, records":    "the order, until a machine has ended it; its removal",
	"stream KV_orders-values, records": "the article's count of waiting orders: when it has changed, at most every 5 s",
}

// TestSyncsOfAnOrder counts what an order costs the card: shop and machine run as
// two processes under strace, twelve orders come a second apart, then nothing comes
// for three minutes, and the last of them must write nothing. Then both run again with
// each fsync lengthened (see slowDisk), and a customer's wait tells how many of them
// stand in a row. It fails on too many syncs, on a file that it has no reason for, and
// on an idle shop that writes; never on time.
func TestSyncsOfAnOrder(t *testing.T) {
	if !*countSyncs {
		t.Skip("counts for four minutes; make syncs runs it")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("make syncs needs strace: apt-get install strace")
	}
	s := newSyncSite(t)

	shop := s.start("shop")
	machine := s.start("machine")
	s.warm()
	from := s.settled()
	for range syncOrders {
		next := time.After(syncApart)
		s.verb("order", "--nats", s.url(), "--name", "Ada", "--size", "small", "--bean", "arabica", "--milk", "free")
		<-next
	}
	s.poured(syncOrders)
	to := s.settled()
	<-time.After(syncRest)
	io, rest := written(t, shop.pid()), time.Now()
	<-time.After(syncIdle)
	io, idle := written(t, shop.pid())-io, time.Now()
	machine.stop()
	shop.stop()
	files := map[string]*synced{}
	after := map[string]*synced{}
	quiet := map[string]*synced{}
	for _, p := range []*traced{shop, machine} {
		ops := p.ops(s.dir)
		count(files, ops, from, to)
		count(after, ops, to, rest)
		count(quiet, ops, rest, idle)
	}

	// The same twice, and only the fsyncs are longer: what comes of it is theirs.
	plain, late := s.onDisk(0), s.onDisk(stretched)

	all := printSyncs(t, files)
	fmt.Printf("\n| One after the other | not lengthened | each fsync %v longer | are in a row | aim | |\n|---|---:|---:|---:|---:|---|\n", stretched)
	for _, r := range []struct {
		what       string
		fast, slow []time.Duration
		aim        float64
	}{{"call to success", plain.success, late.success, aimSuccess}, {"call to first relay", plain.relay, late.relay, aimRow}} {
		a, b := quantile(r.fast, 0.5), quantile(r.slow, 0.5)
		row := float64(b-a) / float64(stretched)
		fmt.Printf("| %s, p50 of %d | %.1f ms | %.1f ms | %.1f | ≤ %v | %s |\n", r.what, len(r.slow), ms(a), ms(b), row, r.aim, atMost(float64(int(row+0.5)), r.aim))
	}
	relay := quantile(late.relay, 0.5)
	fmt.Printf("| call to first relay, each fsync longer | | %.1f ms | | ≤ %v ms | %s |\n", ms(relay), ms(aimSlow), atMost(ms(relay), ms(aimSlow)))
	fmt.Printf("\nAfter the last order, once, within %v:\n", syncRest)
	listSyncs(after)
	fmt.Printf("An idle shop wrote %d bytes in %v (aim 0), the kernel says.\n", io, syncIdle)
	listSyncs(quiet)
	if io > 0 {
		t.Errorf("an idle shop wrote %d bytes in %v", io, syncIdle)
	}
	if all > aimSyncs {
		t.Errorf("%.2f sync operations for an order, want at most %d", all, aimSyncs)
	}
}

func listSyncs(files map[string]*synced) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if q := files[name]; q.bytes > 0 || q.n() > 0 {
			fmt.Printf("  %s: %d bytes, %d syncs\n", name, q.bytes, q.n())
		}
	}
}

// printSyncs is the table of an order, by file.
func printSyncs(t *testing.T, files map[string]*synced) (all float64) {
	fmt.Printf("\n`make syncs`, %s. %d orders %v apart by `barista order`, a drink of two steps, shop and machine as two processes.\n\n", computer(t), syncOrders, syncApart)
	fmt.Println("| Per order, to | fsync | O_SYNC | renamed | bytes | for |\n|---|---:|---:|---:|---:|---|")
	var sum synced
	per := func(n int) string {
		return strings.TrimSuffix(strconv.FormatFloat(float64(n)/syncOrders, 'f', 2, 64), ".00")
	}
	for _, name := range slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		return cmp.Or(cmp.Compare(files[b].n(), files[a].n()), cmp.Compare(files[b].bytes, files[a].bytes), cmp.Compare(a, b))
	}) {
		f := files[name]
		if f.n()+f.renames+f.bytes == 0 {
			continue
		}
		why := syncReasons[name]
		if why == "" && f.n() > 0 {
			why = "NO REASON IS KNOWN"
			t.Errorf("%s is synced, and nobody has said what for", name)
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", name, per(f.syncs), per(f.direct), per(f.renames), per(f.bytes), why)
		sum.syncs += f.syncs
		sum.direct += f.direct
		sum.renames += f.renames
		sum.bytes += f.bytes
	}
	all = float64(sum.n()) / syncOrders
	fmt.Printf("| **all: %s sync operations** (aim ≤ %d) | %s | %s | %s | %s | |\n", per(sum.n()), aimSyncs, per(sum.syncs), per(sum.direct), per(sum.renames), per(sum.bytes))
	return all
}

// The table of writes is what the README says and what the aims allow; that an order
// writes just this, TestAnOrderWrites counts.
func TestTableOfWrites(t *testing.T) {
	if !strings.Contains(readText(t, "../../README.md"), tableOfWrites()) {
		t.Errorf("the README has another table of writes; it should have\n%s", tableOfWrites())
	}
	all, row := 0, 0
	inRow := map[string]int{} // what had to be waited for when this was written
	for _, w := range orderWrites {
		if w.synced {
			all++
			if !w.aside {
				row++
			}
			where := cmp.Or(w.store, fleet.StreamOrders)
			if syncReasons["stream "+where+", records"] == "" {
				t.Errorf("%s is synced, and make syncs knows no reason", where)
			}
		}
		inRow[w.what] = row
	}
	if all > aimSyncs || inRow["create"] != aimSuccess || inRow["journal: start"] != aimRow {
		t.Errorf("%d syncs, %d to success, %d to the first relay", all, inRow["create"], inRow["journal: start"])
	}
}

// What an order writes, counted in a shop with one machine in this process: records
// by stream and in the journal.
func TestAnOrderWrites(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, w := baristaContender(), &watch{cups: map[string]*cup{}, machines: map[string]int{}}
	p, err := c.open(ctx, t.TempDir(), "", 1, w)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	runs, stop := context.WithCancel(ctx)
	go func() { ended <- p.run(runs) }() // waited for below
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	r := &runner{t: t, c: c, p: p, w: w, name: "an order"}
	r.connect(ctx)
	defer r.nc.Close()
	before := r.ready(ctx)
	r.warm(ctx, 1)
	r.settle(ctx, before)
	res := &result{stored: map[string]int{}, bytes: map[string]uint64{}}
	r.check(ctx, before, res)
	t.Logf("%d orders wrote %v", res.orders, res.stored)
}

// The parser of traces, on lines of every kind.
func TestReadTrace(t *testing.T) {
	const trace = `7 1.000001 openat(AT_FDCWD</tmp/x>, "/s/shop/js/g/streams/coffee-book/msgs/1.blk", O_RDWR|O_CREAT|O_CLOEXEC, 0640) = 9</s/shop/js/g/streams/coffee-book/msgs/1.blk>
7 1.000002 pwrite64(9</s/shop/js/g/streams/coffee-book/msgs/1.blk>, ""..., 677, 0) = 677
7 1.000003 fsync(9</s/shop/js/g/streams/coffee-book/msgs/1.blk> <unfinished ...>
8 1.000004 write(5<socket:[1]>, ""..., 30) = 30
8 1.000005 openat(AT_FDCWD</tmp/x>, "/s/shop/js/g/streams/coffee-orders/obs/m/o.dat.tmp", O_WRONLY|O_CREAT|O_SYNC|O_CLOEXEC, 0640 <unfinished ...>
7 1.000006 <... fsync resumed>)            = 0
8 1.000007 <... openat resumed>)           = 11</s/shop/js/g/streams/coffee-orders/obs/m/o.dat.tmp>
8 1.000008 write(11</s/shop/js/g/streams/coffee-orders/obs/m/o.dat.tmp>, ""..., 16) = 16
8 1.000009 renameat(AT_FDCWD</tmp/x>, "/s/shop/js/g/streams/coffee-orders/obs/m/o.dat.tmp", AT_FDCWD</tmp/x>, "/s/shop/js/g/streams/coffee-orders/obs/m/o.dat") = 0
8 1.000010 openat(AT_FDCWD</tmp/x>, "/s/none", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)
8 1.000011 --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=7, si_uid=0} ---
9 1.000012 write(3</s/machine/maya/journal>, ""..., 100) = 100
9 1.000013 fdatasync(3</s/machine/maya/journal>) = -1 EIO (Input/output error)
9 1.000014 write(2</s/machine.log>, ""..., 20) = 20
7 1.000015 fsync(12</elsewhere>) = 0
7 1.000016 ftruncate(12</s/late> <unfinished ...>
7 2.000001 fsync(12</s/late>) = 0
7 2.000002 +++ exited with 0 +++
`
	ops, err := readTrace(bufio.NewScanner(strings.NewReader(trace)), "/s")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*synced{}
	count(got, ops, time.Unix(1, 0), time.Unix(2, 0))
	want := map[string]*synced{
		"stream coffee-book, records":                  {syncs: 1, bytes: 677},
		"stream coffee-orders, state of its consumers": {direct: 1, renames: 1, bytes: 16},
		"machine/maya/journal":                         {bytes: 100},
	}
	if len(got) != len(want) {
		t.Errorf("files %v", slices.Collect(maps.Keys(got)))
	}
	for name, w := range want {
		if g := got[name]; g == nil || *g != *w {
			t.Errorf("%s: %+v, want %+v", name, g, w)
		}
	}
	if _, err := readTrace(bufio.NewScanner(strings.NewReader("7 1.5 sync() = 0\n")), "/s"); err == nil {
		t.Error("a sync of everything was not seen")
	}
}

// syncSite is a shop and a machine whose metal is in this process.
type syncSite struct {
	t     *testing.T
	dir   string
	port  int
	metal *plant.Plant
	zero  time.Time // of the metal's clock
	files map[string]string
	n     int // drinks that were waited for
}

func newSyncSite(t *testing.T) *syncSite {
	s := &syncSite{t: t, dir: t.TempDir(), port: freePort(t)}
	// A drink of two steps, over before the next order comes.
	cfg := plant.Endless()
	cfg.Speed = 50
	s.zero, s.metal = time.Now(), plant.New(cfg)
	socket := filepath.Join(s.dir, "metal.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = plant.Serve(ctx, l, s.metal) }() // waited for below
	t.Cleanup(func() { cancel(); <-done })
	s.files = map[string]string{
		"shop": fmt.Sprintf(`state: %s
broker: {listen: "127.0.0.1:%d", keys: none}
controller: {}
stock: {initial: {arabica: 100000}}
web: {listen: "127.0.0.1:%d"}
`, filepath.Join(s.dir, "shop"), s.port, freePort(t)),
		"machine": fmt.Sprintf(`state: %s
nats: {servers: [%q]}
machine:
  name: maya
  driver: mock
  plant: %s
  cup: attended
  serves: {beans: [arabica, mixed], milk: [free], sizes: [small, medium, large]}
  outputs: {grinder: {rest: 100ms}}
`, filepath.Join(s.dir, "machine"), s.url(), socket),
	}
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(s.dir, name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *syncSite) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

// traced is a service under strace.
type traced struct {
	t     *testing.T
	cmd   *exec.Cmd
	trace string
}

// syncCalls are the calls that write to a disk, or make one sure of it.
var syncCalls = []string{"-e", "trace=fsync,fdatasync,sync_file_range,sync,syncfs,msync,open,openat,creat,write,writev,pwrite64,pwritev,pwritev2,rename,renameat,renameat2"}

// service is one that writes its log beside its file.
func (s *syncSite) service(name string) *exec.Cmd {
	s.t.Helper()
	cmd := asMain("run", "--config", filepath.Join(s.dir, name+".yaml"))
	log, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		log.Close()
		if s.t.Failed() {
			b, _ := os.ReadFile(log.Name())
			s.t.Logf("--- %s:\n%s", name, b)
		}
	})
	cmd.Stdout, cmd.Stderr = log, log
	return cmd
}

// endProcess stops a service, once.
func endProcess(cmd *exec.Cmd) {
	if cmd.ProcessState != nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait()
}

// start runs a service under strace, which stands aside (-D): the process is the
// service itself.
func (s *syncSite) start(name string) *traced {
	s.t.Helper()
	cmd := s.service(name)
	f, err := os.CreateTemp(s.dir, name+"-*.trace")
	if err != nil {
		s.t.Fatal(err)
	}
	f.Close()
	args := append([]string{"strace", "-D", "-f", "-y", "-ttt", "-s", "0", "--seccomp-bpf", "-o", f.Name()}, syncCalls...)
	cmd.Args = append(args, cmd.Args...)
	if cmd.Path, err = exec.LookPath("strace"); err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p := &traced{s.t, cmd, f.Name()}
	s.t.Cleanup(p.stop)
	return p
}

func (p *traced) pid() int { return p.cmd.Process.Pid }

// stop ends the service, and waits until the trace is whole.
func (p *traced) stop() {
	if p.cmd.ProcessState != nil {
		return
	}
	endProcess(p.cmd)
	for range 500 {
		b, _ := os.ReadFile(p.trace)
		if strings.Contains(lastLine(string(b)), "+++ ") {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	p.t.Errorf("the trace %s has no end", p.trace)
}

// verb runs barista with these arguments, and must work.
func (s *syncSite) verb(args ...string) {
	s.t.Helper()
	if out, err := asMain(args...).CombinedOutput(); err != nil {
		s.t.Fatalf("barista %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// warm orders until a cup was made.
func (s *syncSite) warm() {
	s.t.Helper()
	for range 300 {
		out, err := asMain("order", "--nats", s.url(), "--name", "Ada", "--size", "small", "--bean", "arabica", "--milk", "free").CombinedOutput()
		if err == nil {
			s.poured(1)
			return
		}
		s.t.Logf("not yet: %s", out)
		<-time.After(100 * time.Millisecond)
	}
	s.t.Fatal("the shop takes no order")
}

// poured waits for n cups more.
func (s *syncSite) poured(n int) {
	s.t.Helper()
	s.n += n
	for range 3000 {
		if s.metal.Counts().Drinks >= s.n {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	s.t.Fatalf("%d cups, want %d", s.metal.Counts().Drinks, s.n)
}

// settled is the moment when what is written off the path is written.
func (s *syncSite) settled() time.Time {
	<-time.After(8 * time.Second)
	return time.Now()
}

// wait is what a customer waits for.
type wait struct{ success, relay []time.Duration }

// onDisk is what a customer waits for with a disk whose fsyncs take longer.
func (s *syncSite) onDisk(by time.Duration) wait {
	s.t.Helper()
	shop, machine := s.service("shop"), s.service("machine")
	disks := []*slowDisk{newSlowDisk(s.t, shop, by), newSlowDisk(s.t, machine, by)}
	for i, cmd := range []*exec.Cmd{shop, machine} {
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { endProcess(cmd) })
		disks[i].run()
	}
	s.warm()
	w := s.waits()
	endProcess(machine)
	endProcess(shop)
	syncs := disks[0].close() + disks[1].close()
	if least := aimRow * syncOrders; syncs < least {
		s.t.Errorf("only %d fsyncs were lengthened by %v, want at least %d", syncs, by, least)
	}
	return w
}

// waits orders as a program does, and looks at the metal.
func (s *syncSite) waits() (w wait) {
	s.t.Helper()
	nc, err := nats.Connect(s.url())
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	for range syncOrders {
		next := time.After(syncApart)
		_, body := aCoffee()
		before := len(s.metal.Edges())
		called := time.Now()
		m, err := nc.Request(fleet.SubjectRequests, body, 10*time.Second)
		w.success = append(w.success, time.Since(called))
		var a fleet.Answer
		if err != nil || json.Unmarshal(m.Data, &a) != nil || !a.OK() {
			s.t.Fatalf("%v %v", err, m)
		}
		s.poured(1)
		for _, e := range s.metal.Edges()[before:] {
			if e.On {
				w.relay = append(w.relay, s.zero.Add(e.At).Sub(called))
				break
			}
		}
		<-next
	}
	return w
}

// written is what a process has sent to the disk, by the kernel's count.
func written(t *testing.T, pid int) int {
	t.Helper()
	for line := range strings.Lines(readText(t, fmt.Sprintf("/proc/%d/io", pid))) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the kernel does not count what a process writes")
	return 0
}

// op is one call that the kernel saw.
type op struct {
	at    time.Time
	file  string
	kind  opKind
	bytes int
}

type opKind int

const (
	opWrite  opKind = iota
	opDirect        // a write to a file that was opened with O_SYNC
	opSync
	opRename
)

// synced is what one file cost.
type synced struct{ syncs, direct, renames, bytes int }

// n is how often something was waited for on the disk.
func (s synced) n() int { return s.syncs + s.direct }

func count(into map[string]*synced, ops []op, from, to time.Time) {
	for _, o := range ops {
		if o.at.Before(from) || !o.at.Before(to) {
			continue
		}
		f := into[o.file]
		if f == nil {
			f = &synced{}
			into[o.file] = f
		}
		switch o.kind {
		case opSync:
			f.syncs++
		case opDirect:
			f.direct++
		case opRename:
			f.renames++
		}
		f.bytes += o.bytes
	}
}

var (
	traceLine = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (.*)$`)
	traceCall = regexp.MustCompile(`^(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>)?`)
	traceFile = regexp.MustCompile(`^\d+<([^>]*)>`)
	traceName = regexp.MustCompile(`"([^"]*)"[^"]*$`) // the last: where it was renamed to
)

// ops reads the trace: what happened to files below dir.
func (p *traced) ops(dir string) []op {
	p.t.Helper()
	f, err := os.Open(p.trace)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	ops, err := readTrace(bufio.NewScanner(f), dir)
	if err != nil {
		p.t.Fatal(err)
	}
	return ops
}

func readTrace(lines *bufio.Scanner, dir string) (ops []op, err error) {
	began := map[string]string{} // by thread: the front of a call that others interrupted in the trace
	sync := map[string]bool{}    // files opened with O_SYNC or O_DSYNC
	for lines.Scan() {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		thread, stamp, call := m[1], m[2], m[3]
		if front, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			began[thread] = front
			continue
		}
		if rest, ok := strings.CutPrefix(call, "<... "); ok {
			_, end, _ := strings.Cut(rest, " resumed>")
			call = began[thread] + end
		}
		c := traceCall.FindStringSubmatch(call)
		if c == nil {
			continue // a signal, an exit
		}
		sec, err := strconv.ParseFloat(stamp, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		n, err := strconv.Atoi(c[3])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if n < 0 {
			continue
		}
		o := op{at: time.UnixMicro(int64(sec * 1e6))}
		path := ""
		if f := traceFile.FindStringSubmatch(c[2]); f != nil {
			path = f[1]
		}
		switch name := c[1]; name {
		case "open", "openat", "creat":
			// One name is one file here as long as it is not replaced, and who
			// replaces it opens it in the same way.
			if strings.HasPrefix(c[4], dir) {
				sync[c[4]] = strings.Contains(c[2], "O_SYNC") || strings.Contains(c[2], "O_DSYNC")
			}
			continue
		case "rename", "renameat", "renameat2":
			if f := traceName.FindStringSubmatch(c[2]); f != nil {
				path = f[1]
			}
			o.kind = opRename
		case "write", "writev", "pwrite64", "pwritev", "pwritev2":
			if o.bytes = n; sync[path] {
				o.kind = opDirect
			}
		default:
			o.kind = opSync
		}
		if path = strings.TrimSuffix(path, " (deleted)"); !strings.HasPrefix(path, dir+"/") {
			if o.kind == opSync && path == "" {
				return nil, fmt.Errorf("a sync of everything: %s", lines.Text())
			}
			continue // a socket, a pipe, a terminal
		}
		if strings.HasSuffix(path, ".log") {
			continue // what it says, which a service gives to systemd
		}
		o.file = fileOf(strings.TrimPrefix(path, dir+"/"))
		ops = append(ops, o)
	}
	return ops, lines.Err()
}

var streamFile = regexp.MustCompile(`/streams/([^/]+)(?:/(msgs|obs)(?:/([^/]+))?)?`)

// fileOf names a file by what it is: a stream's blocks are one, and so are a
// consumer's files.
func fileOf(path string) string {
	m := streamFile.FindStringSubmatch(path)
	switch {
	case m == nil:
		return path
	case m[2] == "msgs":
		if strings.Contains(m[3], "index") {
			return "stream " + m[1] + ", index"
		}
		return "stream " + m[1] + ", records"
	case m[2] == "obs":
		return "stream " + m[1] + ", state of its consumers"
	}
	return "stream " + m[1] + ", settings"
}
