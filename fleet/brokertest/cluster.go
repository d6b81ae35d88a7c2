package brokertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serverEnv names the configuration of a server that a test binary is to be.
const serverEnv = "BARISTA_TEST_NATS_SERVER"

// BeServer makes this process a nats-server and does not return, if a Cluster has
// started it as one. A TestMain of a package whose tests use a Cluster calls it first.
func BeServer() {
	conf := os.Getenv(serverEnv)
	if conf == "" {
		return
	}
	go func() { // a test binary that was killed leaves no server behind
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	opts, err := server.ProcessConfigFile(conf)
	var s *server.Server
	if err == nil {
		s, err = server.NewServer(opts)
	}
	if err == nil {
		s.ConfigureLogger()
		err = server.Run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			if s.ReadyForConnections(time.Millisecond) && s.Healthz(nil).StatusCode == 200 {
				os.WriteFile(conf+".ready", nil, 0o600)
				return
			}
		}
	}()
	s.WaitForShutdown()
	os.Exit(0)
}

// Cluster is servers that know each other, each a process of its own with a store of
// its own: what kills one leaves the others alone.
type Cluster struct {
	t       testing.TB
	Servers []*Server
}

// Server is one of them.
type Server struct {
	Name string
	URL  string

	t    testing.TB
	conf string
	mu   sync.Mutex // guards what follows
	cmd  *exec.Cmd
	gone chan struct{}
	hold io.Closer
}

// StartCluster starts so many servers, each with so much room (as 4GB), and waits until
// they are ready.
func StartCluster(t testing.TB, n int, room string) *Cluster {
	t.Helper()
	c := NewCluster(t, n, room)
	c.Start()
	c.Ready()
	return c
}

// NewCluster writes their configurations and starts none.
func NewCluster(t testing.TB, n int, room string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	dir := t.TempDir()
	ports := freePorts(t, 2*n)
	var routes []string
	for _, p := range ports[n:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	for i := range n {
		s := &Server{t: t, Name: fmt.Sprint("n", i+1), URL: fmt.Sprintf("nats://127.0.0.1:%d", ports[i])}
		s.conf = filepath.Join(dir, s.Name+".conf")
		text := fmt.Sprintf(`server_name: %s
listen: "127.0.0.1:%d"
max_payload: 1MB
logtime: true
lame_duck_duration: "30s"
lame_duck_grace_period: "1s"
jetstream { store_dir: %q, max_file_store: %s, max_memory_store: 64MB, sync_interval: always }
`, s.Name, ports[i], filepath.Join(dir, s.Name), room)
		if n > 1 {
			text += fmt.Sprintf("cluster { name: shop, listen: \"127.0.0.1:%d\", routes: [%s] }\n", ports[n+i], strings.Join(routes, ", "))
		}
		if err := os.WriteFile(s.conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Servers = append(c.Servers, s)
	}
	c.ends()
	return c
}

// ClusterOf is servers by their own configurations, which lie in one folder.
func ClusterOf(t testing.TB, confs ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for _, conf := range confs {
		c.Servers = append(c.Servers, &Server{t: t, Name: strings.TrimSuffix(filepath.Base(conf), ".conf"), conf: conf})
	}
	c.ends()
	return c
}

// ends kills them when the test ends; one that failed shows what they said.
func (c *Cluster) ends() {
	t := c.t
	t.Cleanup(func() {
		c.Kill()
		for _, s := range c.Servers {
			if t.Failed() {
				t.Logf("--- %s:\n%s", s.Name, s.Log())
			}
		}
	})
}

func freePorts(t testing.TB, n int) (ports []int) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all of them at the end, so that no two are equal
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// URLs are where clients connect.
func (c *Cluster) URLs() (urls []string) {
	for _, s := range c.Servers {
		urls = append(urls, s.URL)
	}
	return urls
}

// Start starts all that do not run, and waits for none.
func (c *Cluster) Start() {
	c.t.Helper()
	for _, s := range c.Servers {
		s.Start()
	}
}

// Ready waits until all are ready and healthy.
func (c *Cluster) Ready() {
	c.t.Helper()
	for _, s := range c.Servers {
		s.Ready()
	}
}

// Kill kills all of them.
func (c *Cluster) Kill() {
	for _, s := range c.Servers {
		s.Kill()
	}
}

// Start starts it anew on its store; one that runs is left alone.
func (s *Server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return
	}
	os.Remove(s.conf + ".ready")
	log, err := os.OpenFile(s.conf+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Dir = filepath.Dir(s.conf)
	cmd.Env = append(os.Environ(), serverEnv+"="+s.conf)
	cmd.Stdout, cmd.Stderr = log, log
	hold, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	gone := make(chan struct{})
	s.cmd, s.gone, s.hold = cmd, gone, hold
	go func() { _ = cmd.Wait(); close(gone) }()
}

// Ready waits until it is ready and healthy.
func (s *Server) Ready() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if _, err := os.Stat(s.conf + ".ready"); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s is not ready after a minute:\n%s", s.Name, s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Log is what it has said.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.conf + ".log")
	return string(b)
}

// Kill ends it as kill -9, Stop as a service manager, LameDuck as one that lets its
// clients go first.
func (s *Server) Kill()     { s.end(syscall.SIGKILL) }
func (s *Server) Stop()     { s.end(syscall.SIGTERM) }
func (s *Server) LameDuck() { s.end(syscall.SIGUSR2) }

// Freeze stops it without a word to anybody, as a power cut or a pulled cable: its
// connections stay, and nothing answers. Kill ends that.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	}
}

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.gone:
	case <-time.After(time.Minute):
		s.t.Errorf("%s did not end within a minute of %v", s.Name, sig)
		_ = s.cmd.Process.Kill()
		<-s.gone
	}
	s.hold.Close()
	s.cmd = nil
}
