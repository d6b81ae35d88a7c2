package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"barista/driver/plant"
)

// event is what the kernel saw, as package world says it. Times are those of the
// guest's CLOCK_MONOTONIC, from its boot.
type event struct {
	At   time.Duration `json:"at"`
	What string        `json:"what"` // set, out, in, free, signal; wire is the world's hand on an input
	Line string        `json:"line"`
	High bool          `json:"high"`
	Part string        `json:"part"`
	On   bool          `json:"on"`
	By   string        `json:"by"`
	PID  int           `json:"pid"`
	Sig  int           `json:"sig"`
	To   int           `json:"to"`

	Stood time.Duration `json:"stood"` // the whole computer, until At
}

func (e event) String() string {
	at := fmt.Sprintf("%.6f", e.At.Seconds())
	if e.What == "signal" {
		return fmt.Sprintf("%s signal %d from %s-%d to %d", at, e.Sig, e.By, e.PID, e.To)
	}
	level := "low"
	if e.High {
		level = "high"
	}
	return fmt.Sprintf("%s %s %s %s %s (on: %v) by %s-%d", at, e.What, e.Line, level, e.Part, e.On, e.By, e.PID)
}

// guest is the virtual machine. The zero value with dir and parts is one that is
// switched off.
type guest struct {
	dir    string // of its disk and sockets
	kernel string // folder
	disk   string // with everything that was done to it
	hand   int    // ports on this computer
	broker int
	accel  []string

	qemu *exec.Cmd
	gone chan struct{}
	http http.Client

	seen []event // of this boot
}

// newGuest lays a root disk and the first RAM disk. change has the folder of the
// bare Debian before it becomes the disk.
func newGuest(dir, kernel, root string, change func(folder string) error) (*guest, error) {
	g := &guest{dir: dir, kernel: kernel, disk: filepath.Join(dir, "disk")}
	g.http.Transport = &http.Transport{DisableKeepAlives: true} // the guest goes without a word
	folder := filepath.Join(dir, "root")
	err := os.Mkdir(folder, 0o755)
	if err == nil {
		err = run("tar", "-C", folder, "--xattrs", "-xpf", root)
	}
	if err == nil {
		err = change(folder)
	}
	if err == nil {
		err = run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", folder, g.disk, "900M")
	}
	if err == nil {
		err = g.layInitrd()
	}
	if err != nil {
		return nil, err
	}
	// Emulated, the guest's time is counted in its instructions: 500 millions make
	// a second. Where this computer is busy with something else everything takes
	// longer, but a program in the guest is not slower by that. Only where the guest
	// sleeps its clock goes with this computer's; see visit.limit.
	g.accel = []string{"-accel", "tcg,thread=single", "-icount", "shift=1,sleep=on", "-cpu", "Nehalem", "-smp", "1"}
	if g.tryKVM() {
		g.accel = []string{"-accel", "kvm", "-cpu", "host", "-smp", "2"}
	}
	return g, nil
}

// run runs a program here; its error has what it printed.
func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// layInitrd puts the modules and the outside world into the first RAM disk, so
// that the root disk can stay as it is when they change.
func (g *guest) layInitrd() error {
	ram := filepath.Join(g.dir, "ram")
	lay := func(from, to string, mode os.FileMode) error {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		to = filepath.Join(ram, to)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, mode))
	}
	world := filepath.Join(g.dir, "world")
	if err := run("env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", world, "./world"); err != nil {
		return err
	}
	errs := []error{
		lay("guest/init", "init", 0o755),
		lay("/bin/busybox", "bin/busybox", 0o755),
		lay(world, "guest/usr/local/lib/vm/world", 0o755),
		lay("guest/world.service", "guest/etc/systemd/system/world.service", 0o644),
		enable(ram, "world.service", "sysinit.target"),
		lay("../../configs/gpio-relays.yaml", "guest/etc/vm/wiring.yaml", 0o644),
	}
	modules, _ := filepath.Glob(filepath.Join(g.kernel, "modules", "*"))
	for _, m := range modules {
		errs = append(errs, lay(m, filepath.Join("modules", filepath.Base(m)), 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return run("sh", "-ec", `cd "$1"; find . | cpio -o -H newc --quiet -R 0:0 >../initrd`, "sh", ram)
}

// enable starts a unit with a target of every boot.
func enable(ram, unit, target string) error {
	dir := filepath.Join(ram, "guest/etc/systemd/system", target+".wants")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Symlink("../"+unit, filepath.Join(dir, unit))
}

// tryKVM reports whether a kernel really runs there: the device may be there, and
// open, and the kernel still hang in its first instructions.
func (g *guest) tryKVM() bool {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return false
	} else {
		_ = f.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "256", "-display", "none", "-nodefaults", "-no-reboot",
		"-serial", "stdio", "-kernel", g.kernel+"/vmlinuz", "-append", "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1").Output()
	return bytes.Contains(out, []byte("Linux version"))
}

// boot switches the machine on and returns when the tester's hand answers, which
// is before any service of the package runs.
func (g *guest) boot() error {
	var err error
	if g.hand, err = freePort(); err == nil {
		g.broker, err = freePort()
	}
	if err != nil {
		return err
	}
	console, err := os.OpenFile(filepath.Join(g.dir, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	args := append(slices.Clone(g.accel), "-M", "pc", "-m", "768", "-display", "none", "-no-reboot", "-nodefaults",
		"-kernel", g.kernel+"/vmlinuz", "-initrd", filepath.Join(g.dir, "initrd"),
		"-append", "console=ttyS0 quiet loglevel=4 panic=-1 net.ifnames=0 systemd.show_status=0 rootfstype=ext4 mitigations=off",
		"-drive", "file="+g.disk+",if=virtio,format=raw,cache=unsafe",
		"-serial", "file:"+filepath.Join(g.dir, "console.log"),
		// ttyS1 and ttyS2 are the ends of one cable.
		"-chardev", "socket,id=s1,path="+g.cable()+",server=on,wait=off", "-serial", "chardev:s1",
		"-chardev", "socket,id=s2,path="+g.cable(), "-serial", "chardev:s2",
		"-netdev", fmt.Sprintf("user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:%d-10.0.2.15:7000,hostfwd=tcp:127.0.0.1:%d-10.0.2.15:7222", g.hand, g.broker),
		"-device", "virtio-net-pci,netdev=n0,romfile=")
	args = append(args, strings.Fields(os.Getenv("VM_QEMU"))...)
	g.qemu = exec.Command("qemu-system-x86_64", args...)
	g.qemu.Stdout, g.qemu.Stderr = console, console
	g.seen = nil
	if g.gone, err = start(g.qemu); err != nil {
		return err
	}
	deadline := time.After(10 * time.Minute)
	for {
		if _, err := g.events(); err == nil {
			return nil
		}
		select {
		case <-g.gone:
			return errors.New("the virtual machine ended while it booted")
		case <-deadline:
			return errors.New("the virtual machine did not answer within ten minutes")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// start runs a program that dies with this process, however this one ends.
func start(c *exec.Cmd) (gone chan struct{}, err error) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	gone = make(chan struct{})
	go func() {
		runtime.LockOSThread() // the signal comes when this thread ends
		defer close(gone)
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait()
		}
	}()
	return gone, <-started
}

func (g *guest) cable() string { return filepath.Join(g.dir, "cable") }

// off shuts the machine down as a person does, and pulls the plug after a minute.
func (g *guest) off() {
	if g.qemu == nil {
		return
	}
	_, _ = g.exec(context.Background(), "systemctl poweroff")
	select {
	case <-g.gone:
	case <-time.After(time.Minute):
		g.unplug()
	}
	g.qemu = nil
}

func (g *guest) unplug() {
	if g.qemu != nil {
		_ = g.qemu.Process.Kill()
		<-g.gone
		g.qemu = nil
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (g *guest) ask(ctx context.Context, method, path string, body io.Reader) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", g.hand, path), body)
	if err != nil {
		return nil, nil, err
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return b, resp.Header, err
}

// exec runs a line of shell in the guest, as root.
func (g *guest) exec(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	out, h, err := g.ask(ctx, "POST", "/exec", strings.NewReader(line))
	if err == nil && h.Get("Status") != "0" {
		err = fmt.Errorf("%q ended with %s", line, h.Get("Status"))
	}
	return strings.TrimSpace(string(out)), err
}

// put copies a file into the guest.
func (g *guest) put(file, to string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, err = g.ask(context.Background(), "PUT", "/file?path="+url.QueryEscape(to), f)
	return err
}

// events asks for what the kernel saw since the last time, and gives all of this
// boot.
func (g *guest) events() ([]event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, _, err := g.ask(ctx, "GET", "/events?from="+strconv.Itoa(len(g.seen)), nil)
	if err != nil {
		return nil, err
	}
	var more []event
	if err := json.Unmarshal(b, &more); err != nil {
		return nil, err
	}
	g.seen = append(g.seen, more...)
	return g.seen, nil
}

// now is the guest's clock.
func (g *guest) now() (time.Duration, error) {
	_, h, err := g.ask(context.Background(), "GET", "/events?from="+strconv.Itoa(1<<30), nil)
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(h.Get("Now"), 10, 64)
	return time.Duration(ns), err
}

// plant asks the metal behind the GPIO lines, or behind the board: what was
// poured, and faults to put in.
func (g *guest) plant(which, ask string, answer any) error {
	b, _, err := g.ask(context.Background(), "POST", "/"+which, strings.NewReader(ask))
	if err != nil {
		return err
	}
	var e struct{ Error string }
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	if e.Error != "" {
		return errors.New(e.Error)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(b, answer)
}

// The two plants.
const (
	gpio  = "plant"
	board = "board"
)

// flows is everything that ran through the basket in this boot.
func (g *guest) flows(t *testing.T, which string) []plant.Pour {
	t.Helper()
	var a struct{ Pours []plant.Pour }
	if err := g.plant(which, `{"do":"flows"}`, &a); err != nil {
		t.Fatal(err)
	}
	return a.Pours
}

// must runs a line of shell that has to do.
func (g *guest) must(t *testing.T, line string) string {
	t.Helper()
	out, err := g.exec(t.Context(), line)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// do puts a fault into the metal, mends one, takes a cup.
func (g *guest) do(t *testing.T, what, fault string) {
	t.Helper()
	ask := map[string]string{"do": what}
	if fault != "" {
		ask["fault"] = fault
	}
	b, _ := json.Marshal(ask)
	if err := g.plant(gpio, string(b), nil); err != nil {
		t.Fatalf("%s %s: %v", what, fault, err)
	}
}

// mark is where the record of the kernel is now; what comes after it is asked for
// with after.
func (g *guest) mark(t *testing.T) int {
	t.Helper()
	all, err := g.events()
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// after is what the kernel saw after a mark.
func (g *guest) after(t *testing.T, mark int) []event {
	t.Helper()
	all, err := g.events()
	if err != nil {
		t.Fatal(err)
	}
	return all[mark:]
}

// until waits for an event after a mark.
func (g *guest) until(t *testing.T, mark int, within time.Duration, what string, is func(event) bool) event {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		list := g.after(t, mark)
		for _, e := range list {
			if is(e) {
				return e
			}
		}
		if time.Now().After(deadline) {
			for _, e := range list {
				t.Log(e)
			}
			t.Fatalf("waited %v for: %s", within, what)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// eventually waits until something is so.
func (g *guest) eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", within, what)
		}
		<-time.After(200 * time.Millisecond)
	}
}

// changes are the events that changed whether a part is on.
func changes(list []event) []event {
	on := map[string]bool{}
	var out []event
	for _, e := range list {
		if e.Part == "" || e.What == "wire" || e.On == on[e.Part] {
			continue
		}
		on[e.Part] = e.On
		out = append(out, e)
	}
	return out
}
