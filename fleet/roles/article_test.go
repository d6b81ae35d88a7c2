package roles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/queue"
)

// article is a program by others: it makes the calls of the public article's website and
// controller, with the client as it comes.
type article struct {
	*nats.Conn
	cancel context.CancelCauseFunc
}

// start connects it with its key. What the broker refuses ends it at once.
func (p person) start(ctx context.Context, t *testing.T, url string) (*article, context.Context) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(ctx)
	nc, err := nats.Connect(url, nats.Nkey(p.Key, p.Sign), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { cancel(err) }))
	if err != nil {
		t.Fatal(err)
	}
	return &article{nc, cancel}, ctx
}

func (a *article) end() {
	closed := make(chan struct{})
	a.SetClosedHandler(func(*nats.Conn) { close(closed) })
	a.Close()
	<-closed
	a.cancel(nil)
}

// because is err, or why the program was ended meanwhile.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// site makes its bucket as the website does, reads how many wait, and orders.
func (a *article) site(ctx context.Context) (waiting, answer string, err error) {
	js, err := jetstream.New(a.Conn)
	if err != nil {
		return "", "", err
	}
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "orders-values"})
	if err != nil {
		return "", "", because(ctx, err)
	}
	e, err := kv.Get(ctx, "orders.pending")
	if err != nil {
		return "", "", because(ctx, err)
	}
	m, err := a.RequestWithContext(ctx, "coffee.web.requests", []byte(`{"size":"small"}`))
	if err != nil {
		return "", "", because(ctx, err)
	}
	return string(e.Value()), string(m.Data), nil
}

// decides serves the requests as the article's controller does: it asks the stock, drops
// the order in, and answers.
func (a *article) decides(ctx context.Context) error {
	failed := func(err error) { a.cancel(err) }
	_, err := a.Subscribe("coffee.web.requests", func(m *nats.Msg) {
		left, err := a.RequestWithContext(ctx, "coffee.stock.arabica.get", nil)
		if err != nil {
			failed(because(ctx, err))
			return
		}
		if err := a.Publish("coffee.orders.arabica", m.Data); err != nil {
			failed(err)
			return
		}
		if err := m.Respond([]byte("scheduled, of " + string(left.Data))); err != nil {
			failed(err)
		}
	})
	if err == nil {
		err = a.FlushWithContext(ctx)
	}
	return because(ctx, err)
}

// counter is a shop with which the article's programs work.
type counter struct {
	t      *testing.T
	url    string
	text   string
	change func(text string) // of the accounts; nil: it can't be changed
	by     func(name string) person
	ctl    *queue.Conn
}

// counters opens one at an embedded broker and one at an external server.
func counters(t *testing.T, f func(t *testing.T, c *counter)) {
	for _, kind := range []string{"embedded", "external"} {
		t.Run(kind, func(t *testing.T) {
			all, table := everybody(t)
			text, err := table.Text()
			if err != nil {
				t.Fatal(err)
			}
			c := &counter{t: t, text: text, by: func(name string) person {
				return all[slices.IndexFunc(all, func(p person) bool { return p.Name == name })]
			}}
			if kind == "external" {
				c.url = servers[kind](t, store(t), text)
			} else {
				b, err := broker.Open(context.Background(), broker.Config{Name: "shop", Store: store(t), MaxStore: 2 << 30, Listen: "127.0.0.1:0", Accounts: text, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { b.Close() })
				c.url, c.change = b.URL(), func(text string) {
					if err := b.Reload(text); err != nil {
						t.Fatal(err)
					}
				}
			}
			c.ctl = as(t, nil, c.url, c.by("controller"))
			if _, err := c.ctl.Setup(t.Context(), fleet.DefaultMenu()); err != nil {
				t.Fatal(err)
			}
			if err := c.ctl.Pending(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			f(t, c)
		})
	}
}

// serve answers on a subject, from its return until the returned function is called.
func (c *counter) serve(subject, answer string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- c.ctl.Server().Serve(ctx, subject, true, func(context.Context, string, []byte) []byte { return []byte(answer) })
	}()
	// Nobody is told when it listens: it is asked until it answers.
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for at := strings.ReplaceAll(subject, "*", "arabica"); ; <-look.C {
		if _, err := c.ctl.Requester().Request(ctx, at, nil); !errors.Is(err, fleet.ErrNobody) {
			break
		}
	}
	return func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			c.t.Error(err)
		}
	}
}

// works has both of the article's programs do what they are for: the website beside the
// shop's own controller, then its controller in that one's place.
func (c *counter) works() error {
	ctx, stop := context.WithTimeout(c.t.Context(), time.Minute)
	defer stop()
	end := c.serve(fleet.SubjectRequests, "yours")
	site, on := c.by("article").start(ctx, c.t, c.url)
	waiting, answer, err := site.site(on)
	site.end()
	end()
	if err != nil {
		return fmt.Errorf("website: %w", err)
	}
	if waiting != "3" || answer != "yours" {
		return fmt.Errorf("website: %q wait, answered %q", waiting, answer)
	}

	defer c.serve("coffee.stock.*.get", "2000")()
	decider, on := c.by("article").start(ctx, c.t, c.url)
	defer decider.end()
	if err := decider.decides(on); err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	lea, err := join(c.t, c.url, c.by("lea"))
	if err != nil {
		return err
	}
	defer lea.Close()
	asked := time.Now().String()
	m, err := lea.RequestWithContext(on, fleet.SubjectRequests, []byte(asked))
	if err != nil {
		return fmt.Errorf("controller: %w", because(on, err))
	}
	if string(m.Data) != "scheduled, of 2000" {
		return fmt.Errorf("controller: answered %q", m.Data)
	}
	drop, err := c.ctl.Intake().NextDrop(on)
	if err != nil {
		return fmt.Errorf("controller: %w", because(on, err))
	}
	if string(drop.Body) != asked {
		return fmt.Errorf("controller: dropped %q", drop.Body)
	}
	return drop.Done(ctx)
}

// TestArticle: the public article's programs do their work with the rights of their row,
// and can't with any one of them less.
func TestArticle(t *testing.T) {
	counters(t, func(t *testing.T, c *counter) {
		if err := c.works(); err != nil {
			t.Fatal(err)
		}
		if c.change == nil {
			return
		}
		me := c.by("article")
		for i, row := range strings.Split(c.text, "\n") {
			if !strings.Contains(row, me.Key) {
				continue
			}
			rights := slices.Concat(me.Rights().Publish, me.Rights().Subscribe)
			less := map[string]string{"its answers": strings.Replace(row, fmt.Sprintf(`, allow_responses: {max: %d, expires: "1m"}`, mostResponses), "", 1)}
			for _, r := range rights {
				for _, list := range []string{"publish", "subscribe"} {
					before, after, _ := strings.Cut(row, list+": {allow: [")
					mine, rest, _ := strings.Cut(after, "]")
					var kept []string
					for _, s := range strings.Split(mine, ", ") {
						if s != quoted(r) {
							kept = append(kept, s)
						}
					}
					if out := before + list + ": {allow: [" + strings.Join(kept, ", ") + "]" + rest; out != row {
						less[list+" "+r] = out
					}
				}
			}
			if len(less) != len(rights)+1 {
				t.Fatalf("%d rights less one at a time: %d\n%s", len(rights)+1, len(less), row)
			}
			for without, line := range less {
				rows := strings.Split(c.text, "\n")
				rows[i] = line
				c.change(strings.Join(rows, "\n"))
				err := c.works()
				if err == nil {
					t.Errorf("%s: they work without it", without)
				}
				t.Logf("without %s: %v", without, err)
			}
		}
	})
}
