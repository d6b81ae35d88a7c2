package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"barista/fleet"
)

// File is one service as its file says, with every default filled in. A role
// whose section is not there is nil.
type File struct {
	Path       string
	Text       []byte // as Load has read it
	State      string // folder for everything that must survive a restart; absolute, or below the working folder
	NATS       *NATS
	Broker     *Broker
	Controller *Controller
	Stock      *Stock
	Web        *Web
	Machine    *Machine
	Archive    *Archive
	Alerts     *Alerts
	Metrics    *Metrics // no role: it tells of those that there are
	// HomeAssistant is none either: the controller's process sees to it.
	HomeAssistant *HomeAssistant
}

// Roles names the roles that the file turns on, in the order in which they
// start.
func (f *File) Roles() []string {
	var out []string
	for _, r := range []struct {
		name string
		on   bool
	}{
		{"broker", f.Broker != nil},
		{"stock", f.Stock != nil},
		{"controller", f.Controller != nil},
		{"web", f.Web != nil},
		{"archive", f.Archive != nil},
		{"alerts", f.Alerts != nil},
		{"machine", f.Machine != nil},
	} {
		if r.on {
			out = append(out, r.name)
		}
	}
	return out
}

// EnvNATS is the environment variable that names the servers instead of the
// file's nats section: one URL, or several with commas between them.
const EnvNATS = "NATS_URL"

// Load reads a file and checks all of it. The error is always a *Problems.
//
// kinds are the kinds of machine by the name that stands behind driver. The
// environment's NATS_URL goes before the file's nats section, but for a file
// with a broker of its own.
func Load(path string, kinds map[string]Kind) (*File, error) {
	text, err := read(path)
	if err != nil {
		fix := "check the name and who may read it"
		if errors.Is(err, fs.ErrNotExist) {
			fix = "check the name"
		}
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, &Problems{path, []Problem{{Reason: "the file can't be read: " + err.Error(), Fix: fix}}}
	}
	f, err := Parse(path, text, kinds)
	if f != nil {
		f.Text = text
	}
	return f, err
}

// read takes one byte more than is allowed, so that a device without an end is
// seen as too large.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBytes+1))
}

// Parse is Load for a text that is in hand; path is for messages and for the
// default of state.
func Parse(path string, text []byte, kinds map[string]Kind) (*File, error) {
	r := &report{}
	body := parse(r, text)
	if body == nil {
		if len(r.list) == 0 {
			r.add(Pos{1, 1}, "", "the file is empty", noRole)
		}
		return nil, &Problems{path, r.sorted()}
	}
	f := &File{Path: path}
	root := (&Node{r: r, keyAt: Pos{1, 1}, n: unwrap(body)}).Map()
	f.file(root, kinds)
	for _, m := range r.maps {
		m.unknown()
	}
	if len(r.list) > 0 {
		return nil, &Problems{path, r.sorted()}
	}
	return f, nil
}

// Wiring reads only the machine of a file, and where its state lies, whatever is
// wrong in the other sections: outputs must come to rest also when nothing else
// of the file can be used. The machine is nil if the file has none. The error
// says what is wrong with the machine, or that nothing can be read at all; state
// is the best guess even then.
func Wiring(path string, text []byte, kinds map[string]Kind) (m *Machine, folder string, err error) {
	r := &report{}
	body := parse(r, text)
	if body == nil {
		r.add(Pos{1, 1}, "", "nothing in the file can be read", "mend it")
	} else {
		root := (&Node{r: r, keyAt: Pos{1, 1}, n: unwrap(body)}).Map()
		folder = state(root.Get("state"), root, path)
		if n := root.Get("machine"); n != nil {
			m, _, _ = decodeMachine(n.Map(), kinds)
		}
		for _, m := range r.maps {
			m.unknown()
		}
	}
	if folder == "" {
		folder = UsualState + strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	var list []Problem
	for _, p := range r.sorted() {
		if body == nil || p.Where == "machine" || strings.HasPrefix(p.Where, "machine.") {
			list = append(list, p)
		}
	}
	if len(list) > 0 {
		return nil, folder, &Problems{path, list}
	}
	return m, folder, nil
}

const noRole = "name at least one of broker, controller, stock, web, archive, alerts, machine; the samples show how"

func (f *File) file(root *Map, kinds map[string]Kind) {
	nats, broker, ctl, stock, web, machine := root.Get("nats"), root.Get("broker"), root.Get("controller"), root.Get("stock"), root.Get("web"), root.Get("machine")
	f.State = state(root.Get("state"), root, f.Path)
	if broker != nil {
		f.Broker = decodeBroker(broker.Map(), f.State)
	}
	if ctl != nil {
		f.Controller = decodeController(ctl.Map())
	}
	if stock != nil {
		f.Stock = decodeStock(stock.Map())
	}
	if web != nil {
		f.Web = decodeWeb(web.Map(), f.Broker != nil && !f.Broker.NoKeys)
	}
	archive, alerts, metrics := root.Get("archive"), root.Get("alerts"), root.Get("metrics")
	if archive != nil {
		f.Archive = decodeArchive(archive.Map(), f.State)
	}
	if alerts != nil {
		f.Alerts = decodeAlerts(alerts.Map())
	}
	if metrics != nil {
		f.Metrics = decodeMetrics(metrics.Map())
	}
	if home := root.Get("homeassistant"); home != nil {
		f.HomeAssistant = decodeHomeAssistant(home.Map(), f)
	}
	kind, known := Kind{}, false
	if machine != nil {
		f.Machine, kind, known = decodeMachine(machine.Map(), kinds)
	}

	if nats != nil {
		f.NATS = decodeNATS(nats.Map())
		if f.NATS.Domain != "" && f.Machine != nil && f.Controller == nil && f.NATS.Key != "" {
			nats.Map().Get("domain").KeyProblem("a machine with a key asks the broker that it reaches, and may ask no other one's streams", "remove domain:, and name the servers of the machine's own shop")
		}
	}
	env := os.Getenv(EnvNATS)
	switch roles := f.Roles(); {
	case broker != nil && nats != nil:
		nats.KeyProblem("the file has a broker of its own, so there is nothing to connect to", "remove nats:, or remove broker: to use these servers")
	case broker != nil || root.lenient:
	case len(roles) == 0:
		root.Node().Problem("the file turns no role on", noRole)
	case env != "":
		f.NATS = fromEnv(root.Node().r, env, f.NATS)
	case nats == nil:
		if first := root.Get(roles[len(roles)-1]); first != nil {
			first.KeyProblem("there is no broker to talk to", fmt.Sprintf("name the shop's servers: nats: {servers: [\"nats://shop.local:4222\"]}, or set %s, or add broker: to run one here", EnvNATS))
		}
	}

	// Busy goroutines of one process delay each other's timers, whatever the
	// priority: with broker and web under load a pump went off up to half a
	// second late.
	if machine != nil && known && !kind.Simulated {
		for _, beside := range []*Node{broker, web, archive, alerts} {
			if beside != nil {
				beside.KeyProblem(
					fmt.Sprintf("real metal (driver: %s) runs alone in its process: beside %s: its timers came 167 to 484 ms late", f.Machine.Driver, beside.Key()),
					fmt.Sprintf("move %s: to a file and service of its own, and give this one nats: {servers: [\"nats://127.0.0.1:4222\"]}", beside.Key()))
			}
		}
	}
	f.addresses(broker, web, metrics)
}

// addresses looks for two that are one.
func (f *File) addresses(broker, web, metrics *Node) {
	taken := func(at string) string {
		switch {
		case f.Broker == nil || at == "":
		case at == f.Broker.Listen:
			return "broker"
		case at == f.Broker.MQTT:
			return "MQTT"
		}
		return ""
	}
	if f.Web != nil && taken(f.Web.Listen) != "" {
		web.KeyProblem("web and "+taken(f.Web.Listen)+" listen on the same address "+f.Web.Listen, "give them different ports")
	}
	switch {
	case f.Metrics == nil:
	case f.Web != nil && f.Web.Listen == f.Metrics.Listen:
		metrics.KeyProblem("web and metrics listen on the same address "+f.Metrics.Listen, "give metrics another port, or remove it: the pages answer /metrics to this computer too")
	case taken(f.Metrics.Listen) != "":
		metrics.KeyProblem(taken(f.Metrics.Listen)+" and metrics listen on the same address "+f.Metrics.Listen, "give them different ports")
	}
	if f.Broker != nil && f.Broker.Sites != "" && f.Broker.Sites == f.Broker.MQTT {
		broker.KeyProblem("sites and MQTT come to the same address "+f.Broker.Sites, "give them different ports")
	}
}

// UsualState is where services keep theirs.
const UsualState = "/var/lib/barista/"

// state is the folder of the service. A path relative to nothing in particular
// would be another folder after each cd, so it must show what it is.
func state(n *Node, root *Map, path string) string {
	if n == nil {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		if !fleet.IsToken(name) && !root.lenient {
			root.Node().r.add(Pos{1, 1}, "state", "the file's name "+Quote(name)+" can't name its folder below "+UsualState,
				"name the file with a-z, 0-9 and -, or give state: "+UsualState+"my-machine")
		}
		return UsualState + name
	}
	return folder(n)
}

func folder(n *Node) string {
	s, ok := n.Text()
	if !ok {
		return ""
	}
	rel, below := strings.CutPrefix(s, "./")
	switch {
	case !filepath.IsAbs(s) && !below:
		n.Problem(Quote(s)+" does not say where it is", "write a path from the root (/var/lib/barista/zoe), or ./… for below the folder in which barista is started")
	case below && !filepath.IsLocal(rel), strings.Contains("/"+s+"/", "/../"):
		n.Problem(Quote(s)+" leads out of itself", "write the path without ..")
	case filepath.Clean(s) == "/" || filepath.Clean(s) == ".":
		n.Problem(Quote(s)+" is no folder of its own", "name one that only this service uses")
	default:
		return filepath.Clean(s)
	}
	return ""
}

// address reads an address to listen on, or one of the words. Alone: only this
// computer can reach it.
func address(n *Node, usual string, words ...string) (s string, alone, ok bool) {
	if s, ok = n.Text(); !ok {
		return "", false, false
	}
	for _, w := range words {
		if s == w {
			return s, true, true
		}
	}
	fix := "write for example " + usual + orWords(words)
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		n.Problem(Quote(s)+" is not an address with a port", fix)
		return "", false, false
	}
	if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 || strconv.Itoa(p) != port {
		n.Problem("the port "+Quote(port)+" is not possible", "give a number from 1 to 65535: "+usual)
		return "", false, false
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port), true, true
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil && host != "":
		n.Problem("the address "+Quote(host)+" is no number", fix)
		return "", false, false
	case err != nil, !ip.Unmap().IsLoopback():
		return s, false, true
	}
	return net.JoinHostPort(ip.Unmap().String(), port), true, true
}

func orWords(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return " or " + orList(words)
}
