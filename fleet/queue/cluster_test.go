package queue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

var (
	clusterLong  = flag.Bool("cluster", false, "TestReplicas kills each of three servers, a minute more")
	clusterKills = flag.Int("cluster-kills", 0, "`times` that TestFollowInCluster kills the server that leads the book; none skips it, each takes a quarter of a minute")
)

// kept is by how many servers each stream is kept, and what leads it.
func kept(t *testing.T, c *queue.Conn) (replicas map[string]int) {
	t.Helper()
	replicas = map[string]int{}
	for _, name := range append(queue.StreamNames(), "KV_"+fleet.BucketMachines, "KV_"+fleet.BucketStock) {
		b, err := c.Requester().Request(t.Context(), "$JS.API.STREAM.INFO."+name, nil)
		var info struct {
			Config struct {
				Replicas int `json:"num_replicas"`
			} `json:"config"`
			Error any `json:"error"`
		}
		if err != nil || json.Unmarshal(b, &info) != nil || info.Error != nil {
			t.Errorf("%s: %v %s", name, err, b)
		}
		replicas[name] = info.Config.Replicas
	}
	return replicas
}

// all wants one figure for every stream but the foreign programs' bucket.
func all(t *testing.T, c *queue.Conn, when string, want int) {
	t.Helper()
	for name, n := range kept(t, c) {
		wanted := want
		if name == "KV_"+fleet.BucketValues {
			wanted = 1
		}
		if n != wanted {
			t.Errorf("%s: %s is kept by %d servers, wanted %d", when, name, n, wanted)
		}
	}
}

// said is a log that a test reads.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *said) log() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

func dialCluster(t *testing.T, cl *brokertest.Cluster, cfg queue.Config) *queue.Conn {
	t.Helper()
	cfg.Servers = cl.URLs()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := queue.Connect(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestReplicas: a shop on three servers, from their cold start on. Streams that one
// server keeps are raised with what is in them, never lowered, and a shop starts while
// one of the three is gone.
func TestReplicas(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers and their elections: not with -short")
	}
	ctx := t.Context()
	cl := brokertest.NewCluster(t, 3, "4GB")
	cl.Start()
	one := dialCluster(t, cl, queue.Config{Name: "one", Replicas: 1})
	if _, err := one.Setup(ctx, fleet.DefaultMenu()); err != nil { // cold: nobody waits for them
		t.Fatal(err)
	}
	all(t, one, "told to", 1)
	made, err := one.BookMade(ctx)
	if err != nil {
		t.Fatal(err)
	}
	put(t, one.Orders(), 1, orderN(1).ID)
	rev, err := one.Book().Act(ctx, fleet.Record{Stock: &fleet.StockAct{Act: fleet.Count, Items: fleet.Items{"arabica": 5}, By: "ada", Key: "k", At: time.Now().UTC()}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	cl.Ready()

	var log said
	auto := dialCluster(t, cl, queue.Config{Name: "auto", Log: log.log()})
	if _, err := auto.Setup(ctx, fleet.DefaultMenu()); err != nil {
		t.Fatal(err)
	}
	all(t, auto, "on three servers", 3)
	if !strings.Contains(log.String(), "replicas=3") || !strings.Contains(log.String(), "[n1 n2 n3]") {
		t.Errorf("it says nothing of the replicas: %s", log.String())
	}
	one2 := dialCluster(t, cl, queue.Config{Name: "one2", Replicas: 1})
	if _, err := one2.Setup(ctx, fleet.DefaultMenu()); err != nil {
		t.Fatal(err)
	}
	all(t, one2, "told to keep less", 3)

	if !*clusterLong {
		return
	}
	// Every one of them may go, after what was there has come to the others.
	for _, s := range cl.Servers {
		began := time.Now()
		until(t, "all three to be level", func() bool { return whole(t, auto) })
		t.Logf("level after %v", time.Since(began).Round(time.Millisecond))
		s.Kill()
		for _, name := range []string{"first", "second"} { // two shops at once
			c := dialCluster(t, cl, queue.Config{Name: name})
			began := time.Now()
			if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
				t.Fatalf("without %s: %v", s.Name, err)
			}
			t.Logf("without %s a shop is set up after %v", s.Name, time.Since(began).Round(time.Millisecond))
			if at, err := c.BookMade(ctx); err != nil || !at.Equal(made) {
				t.Errorf("without %s the book was made at %v, and at %v: %v", s.Name, at, made, err)
			}
			if r, err := c.Book().At(ctx, rev.Seq); err != nil || r.Rec != rev.Rec {
				t.Errorf("without %s: %+v %v", s.Name, r, err)
			}
			if n, err := c.Orders().Waiting(ctx); err != nil || n[arabica] != 1 {
				t.Errorf("without %s %v wait: %v", s.Name, n, err)
			}
			if names, err := c.Servers(ctx); err != nil || len(names) != 2 || slices.Contains(names, s.Name) {
				t.Errorf("without %s: %v %v", s.Name, names, err)
			}
		}
		s.Start()
		s.Ready()
	}
	all(t, auto, "after all that", 3)
}

// TestFollowInCluster: who reads the book reads on soon after it has a leader again, by
// whichever servers he was connected and read.
func TestFollowInCluster(t *testing.T) {
	if *clusterKills == 0 {
		t.Skip("with -cluster-kills")
	}
	cl := brokertest.StartCluster(t, 3, "4GB")
	writer := dialCluster(t, cl, queue.Config{Name: "writer"})
	if _, err := writer.Setup(t.Context(), fleet.DefaultMenu()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	type news struct {
		seq uint64
		at  time.Time
	}
	var seen []chan news
	for i := range 6 {
		c, one := dialCluster(t, cl, queue.Config{Name: fmt.Sprint("reader", i)}), make(chan news, 1000)
		seen = append(seen, one)
		readers.Go(func() { c.Book().Follow(ctx, 1, func(r fleet.Record) { one <- news{r.Seq, time.Now()} }, nil) })
	}
	last, n := uint64(0), 0
	write := func() (at time.Time) {
		t.Helper()
		until(t, "the book to be written", func() bool {
			one, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			n++
			rev, err := writer.Book().Act(one, claimOf(entryN(n)), last)
			if errors.Is(err, fleet.ErrConflict) { // taken before, and the answer was lost
				if next, err := writer.Book().Since(ctx, time.Unix(1<<33, 0)); err == nil {
					last = next - 1
				}
				return false
			}
			last = max(last, rev.Seq)
			return err == nil
		})
		return time.Now()
	}
	for kill := range *clusterKills + 1 {
		until(t, "all three to be level", func() bool { return whole(t, writer) })
		var down *brokertest.Server
		began := time.Now()
		if kill > 0 {
			name := leader(t, writer)
			for _, s := range cl.Servers {
				if s.Name == name {
					down = s
				}
			}
			down.Kill()
		}
		written := write()
		var late []time.Duration
		for i, one := range seen {
			for got := (news{}); got.seq < last; {
				select {
				case next := <-one:
					if next.seq != got.seq+1 && got.seq > 0 {
						t.Errorf("reader %d: record %d after %d", i, next.seq, got.seq)
					}
					got = next
				case <-time.After(time.Minute):
					t.Fatalf("reader %d has not seen record %d after a minute", i, last)
				}
				if got.seq >= last {
					late = append(late, got.at.Sub(written).Round(100*time.Millisecond))
				}
			}
		}
		if kill > 0 {
			t.Logf("written %v after the kill; the readers saw it so much later: %v", written.Sub(began).Round(100*time.Millisecond), late)
			if m := slices.Max(late); m > 10*time.Second {
				t.Errorf("a reader saw it %v later", m)
			}
			down.Start()
			down.Ready()
		}
	}
}

// leader names the server that leads the book.
func leader(t *testing.T, c *queue.Conn) string {
	t.Helper()
	b, err := c.Requester().Request(t.Context(), "$JS.API.STREAM.INFO."+fleet.StreamBook, nil)
	var info struct {
		Cluster struct {
			Leader string `json:"leader"`
		} `json:"cluster"`
	}
	if err != nil || json.Unmarshal(b, &info) != nil || info.Cluster.Leader == "" {
		t.Fatalf("who leads the book? %v %s", err, b)
	}
	return info.Cluster.Leader
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(late) {
			t.Fatalf("waited for %s", what)
		}
		fleet.Pause(t.Context(), 50*time.Millisecond)
	}
}

// whole reports whether three servers keep every stream and every queue, and are level.
// A stream that is raised says so of itself before its queues have followed, and is lost
// until then with the server that had it.
func whole(t *testing.T, c *queue.Conn) bool {
	var asked []string
	for name, n := range kept(t, c) {
		if n == 3 {
			asked = append(asked, "STREAM.INFO."+name)
		}
	}
	for _, class := range fleet.DefaultMenu().Classes() {
		asked = append(asked, "CONSUMER.INFO."+fleet.StreamOrders+"."+fleet.MakerDurable(class))
	}
	for _, one := range append(asked, "CONSUMER.INFO."+fleet.StreamIntake+"."+fleet.IntakeDurable) {
		b, err := c.Requester().Request(t.Context(), "$JS.API."+one, nil)
		var info struct {
			Cluster struct {
				Leader   string `json:"leader"`
				Replicas []struct {
					Current bool `json:"current"`
				} `json:"replicas"`
			} `json:"cluster"`
		}
		if err != nil || json.Unmarshal(b, &info) != nil || len(info.Cluster.Replicas) != 2 || info.Cluster.Leader == "" {
			return false
		}
		for _, r := range info.Cluster.Replicas {
			if !r.Current {
				return false
			}
		}
	}
	return true
}

// TestNoRoomInCluster: a cluster without room says how much each of how many servers
// would need.
func TestNoRoomInCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers and their elections: not with -short")
	}
	cl := brokertest.StartCluster(t, 3, "100MB")
	c := dialCluster(t, cl, queue.Config{Name: "one"})
	_, err := c.Setup(t.Context(), fleet.DefaultMenu())
	bad, is := errors.AsType[*queue.Unusable](err)
	if !is || !errors.Is(err, queue.ErrNoSpace) || !strings.Contains(bad.Why, "coffee-book needs 102.5 MiB") || !strings.Contains(bad.Why, "on each of 3 servers") {
		t.Errorf("without room: %v", err)
	}
}
