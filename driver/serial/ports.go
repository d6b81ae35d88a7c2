package serial

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Roots are where the kernel shows devices and processes. Tests have their own.
type Roots struct {
	Dev, Sys, Proc string
}

// ThisComputer is where they really are.
var ThisComputer = Roots{Dev: "/dev", Sys: "/sys", Proc: "/proc"}

// Below is the same below another root.
func Below(root string) Roots {
	return Roots{filepath.Join(root, "dev"), filepath.Join(root, "sys"), filepath.Join(root, "proc")}
}

// Seen is a serial port of this computer, as the kernel shows it. Nothing was
// opened to know this.
type Seen struct {
	Name    string // the name to write into a file; "" if none stays the same
	ByID    string // below /dev/serial/by-id; "" is none
	ByPath  string // below /dev/serial/by-path
	Device  string // of today: counted anew at each plugging
	OnBoard bool   // no USB
	Adapter Adapter
	Text    string // how the adapter calls itself: whoever made it wrote that

	Holders []Holder
	// Unsure: this user may not see what every process has open, so that there
	// may be holders beyond those.
	Unsure bool
}

// Holder is a process that has a port open.
type Holder struct {
	PID     int
	Command string // its short name, which it chose itself; "" if it is not shown
}

func (h Holder) String() string {
	if h.Command == "" {
		return fmt.Sprintf("process %d", h.PID)
	}
	return fmt.Sprintf("%s (%d)", strconv.QuoteToGraphic(h.Command), h.PID)
}

// Ports lists the serial ports of this computer, by name.
func (r Roots) Ports() ([]Seen, error) {
	class := filepath.Join(r.Sys, "class/tty")
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, fmt.Errorf("can't see which serial ports there are: %w", err)
	}
	byID, byPath := r.names("by-id"), r.names("by-path")
	var found []Seen
	for _, e := range entries {
		name := e.Name()
		dir := filepath.Join(class, name)
		if _, err := os.Stat(filepath.Join(dir, "device")); err != nil {
			continue // a console, a virtual terminal: nothing hangs on it
		}
		if word(dir, "type") == "0" {
			continue // a place for a port of a PC, which this computer has not
		}
		s := Seen{Device: filepath.Join(r.Dev, name), ByID: byID[name], ByPath: byPath[name]}
		s.Adapter, s.Text = adapterAt(class, name)
		s.OnBoard = s.Adapter == (Adapter{})
		s.Name = s.lasting()
		found = append(found, s)
	}
	r.holders(found)
	slices.SortFunc(found, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Device, b.Device))
	})
	return found, nil
}

// Port is the port that a path leads to, whatever kind of device it is; who asks
// for it by name knows why.
func (r Roots) Port(path string) (Seen, error) {
	at, err := filepath.Abs(path)
	if err != nil {
		return Seen{}, err
	}
	real, err := filepath.EvalSymlinks(at)
	if err != nil {
		return Seen{}, fmt.Errorf("serial port %s: nothing answers under this name: is it plugged in?", path)
	}
	all, err := r.Ports()
	for _, s := range all {
		if there, _ := filepath.EvalSymlinks(s.Device); there == real && err == nil {
			if s.Name == "" {
				s.Name = at
			}
			return s, nil
		}
	}
	s := []Seen{{Name: at, Device: real, OnBoard: true}}
	r.holders(s)
	return s[0], nil
}

// lasting is the name that stays the same. The one by-id is only as good as the
// serial number in it: without one, the second adapter of its kind takes it.
func (s Seen) lasting() string {
	switch {
	case s.ByID != "" && s.Adapter.Serial != "":
		return s.ByID
	case s.ByPath != "":
		return s.ByPath
	case s.ByID != "":
		return s.ByID
	case s.OnBoard:
		return s.Device // it is soldered
	}
	return ""
}

// names are the names that udev keeps in a folder, by device. A link is followed
// one step: what it leads to is called as in sysfs.
func (r Roots) names(folder string) map[string]string {
	out := map[string]string{}
	dir := filepath.Join(r.Dev, "serial", folder)
	entries, _ := os.ReadDir(dir) // sorted; not there without udev, or without adapters
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		// Newer ones of udev give two by-path to one port; the older one is shorter.
		dev := filepath.Base(to)
		if old := out[dev]; old == "" || len(e.Name()) < len(filepath.Base(old)) {
			out[dev] = filepath.Join(dir, e.Name())
		}
	}
	return out
}

// adapterAt is adapterOf by the port's name in sysfs, and what the adapter says
// of itself.
func adapterAt(class, name string) (a Adapter, text string) {
	dir, err := filepath.EvalSymlinks(filepath.Join(class, name, "device"))
	if err != nil {
		return a, ""
	}
	for range 6 { // port, interface, device
		if v := word(dir, "idVendor"); v != "" {
			text = strings.TrimSpace(word(dir, "manufacturer") + " " + word(dir, "product"))
			return Adapter{v, word(dir, "idProduct"), word(dir, "serial")}, text
		}
		dir = filepath.Dir(dir)
	}
	return a, ""
}

// node is a device node, as /proc/locks counts them.
type node struct {
	dev, ino uint64
}

// holders fills in who has the ports open: every process's open files, as far as
// this user may look, and the locks, which everybody may see.
func (r Roots) holders(list []Seen) {
	at := map[string]int{}
	locks := map[node]int{}
	pts := map[int]int{} // number of a pseudo-terminal: a program plays that port
	for i, s := range list {
		real, err := filepath.EvalSymlinks(s.Device)
		if err != nil {
			continue
		}
		at[real] = i
		if n, ok := strings.CutPrefix(real, "/dev/pts/"); ok {
			if n, err := strconv.Atoi(n); err == nil {
				pts[n] = i
			}
		}
		var st unix.Stat_t
		if unix.Stat(real, &st) == nil {
			locks[node{uint64(st.Dev), st.Ino}] = i
		}
	}
	processes, err := os.ReadDir(r.Proc)
	unsure := err != nil
	self := os.Getpid()
	for _, e := range processes {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == self {
			continue
		}
		fds := filepath.Join(r.Proc, e.Name(), "fd")
		open, err := os.ReadDir(fds)
		if err != nil && !os.IsNotExist(err) {
			unsure = true
		}
		has, plays := map[int]bool{}, map[int]bool{}
		for _, fd := range open {
			to, err := os.Readlink(filepath.Join(fds, fd.Name()))
			if err != nil {
				continue
			}
			if i, is := at[to]; is {
				has[i] = true
			}
			if len(pts) > 0 && (to == "/dev/ptmx" || to == "/dev/pts/ptmx") {
				if i, is := pts[r.terminal(e.Name(), fd.Name())]; is {
					plays[i] = true
				}
			}
		}
		for i := range has {
			if !plays[i] { // the device itself is no holder
				list[i].held(pid, word(filepath.Join(r.Proc, e.Name()), "comm"))
			}
		}
	}
	text, _ := os.ReadFile(filepath.Join(r.Proc, "locks"))
	for line := range strings.Lines(string(text)) {
		pid, n, ok := parseLock(line)
		if i, is := locks[n]; ok && is && pid != self {
			list[i].held(pid, word(filepath.Join(r.Proc, strconv.Itoa(pid)), "comm"))
		}
	}
	for i := range list {
		list[i].Unsure = unsure
	}
}

func (s *Seen) held(pid int, command string) {
	if !slices.ContainsFunc(s.Holders, func(h Holder) bool { return h.PID == pid }) {
		s.Holders = append(s.Holders, Holder{pid, command})
	}
}

// terminal is the number of the pseudo-terminal whose other side a descriptor is;
// -1 if the kernel does not say.
func (r Roots) terminal(pid, fd string) int {
	b, _ := os.ReadFile(filepath.Join(r.Proc, pid, "fdinfo", fd))
	for line := range strings.Lines(string(b)) {
		if n, is := strings.CutPrefix(line, "tty-index:"); is {
			if n, err := strconv.Atoi(strings.TrimSpace(n)); err == nil {
				return n
			}
		}
	}
	return -1
}

// parseLock reads a line of /proc/locks:
// "1: FLOCK  ADVISORY  WRITE 711 00:05:1034 0 EOF".
func parseLock(line string) (pid int, n node, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 || f[1] == "->" { // somebody who waits for it
		return 0, n, false
	}
	pid, err := strconv.Atoi(f[4])
	at := strings.Split(f[5], ":")
	if err != nil || len(at) != 3 {
		return 0, n, false
	}
	major, err1 := strconv.ParseUint(at[0], 16, 32)
	minor, err2 := strconv.ParseUint(at[1], 16, 32)
	ino, err3 := strconv.ParseUint(at[2], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return 0, n, false
	}
	return pid, node{unix.Mkdev(uint32(major), uint32(minor)), ino}, true
}
