package queue_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// cafe is a shop's broker over a folder, with a log.
type cafe struct {
	*broker.Broker
	*queue.Conn
	log bytes.Buffer
}

// openCafe opens it and sets it up.
func openCafe(t *testing.T, store string) (c *cafe, err error) {
	t.Helper()
	c = &cafe{}
	log := slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelError}))
	if c.Broker, err = broker.Open(t.Context(), broker.Config{Name: "shop", Store: store, Ours: queue.StreamNames(), Log: log}); err != nil {
		return c, err
	}
	if c.Conn, err = queue.Connect(t.Context(), queue.Config{Name: "shop", InProcess: c.Broker, Log: log}); err != nil {
		c.Broker.Close()
		return c, err
	}
	_, err = c.Setup(t.Context(), fleet.DefaultMenu())
	return c, err
}

func (c *cafe) close() {
	if c.Conn != nil {
		c.Conn.Close()
	}
	if c.Broker != nil {
		c.Broker.Close()
	}
}

const cafeOrders = 12

// usedStore is the store of a shop with orders in book and queue, and with
// consumers in files, as a former version made them and others do.
func usedStore(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	store := t.TempDir()
	c, err := openCafe(t, store)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	last := uint64(0)
	for n := range cafeOrders {
		rev, err := c.Book().Act(ctx, claimOf(entryN(n)), last)
		if err != nil {
			t.Fatal(err)
		}
		last = rev.Seq
		put(t, c.Orders(), n, orderN(n).ID)
	}
	nc, err := nats.Connect("", nats.InProcessServer(c.Broker))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	name := fleet.MakerDurable(arabica)
	cons, err := js.Consumer(ctx, fleet.StreamOrders, name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := cons.CachedInfo().Config
	cfg.MemoryStorage = false
	err = errors.Join(js.DeleteConsumer(ctx, fleet.StreamOrders, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = js.CreateConsumer(ctx, fleet.StreamOrders, cfg); err != nil {
		t.Fatal(err)
	}
	// Somebody took one and holds it, so that there is a state to damage.
	if m, err := nc.Request("$JS.API.CONSUMER.MSG.NEXT."+fleet.StreamOrders+"."+name, []byte(`{"batch":1}`), 5*time.Second); err != nil || len(m.Data) == 0 {
		t.Fatal(m, err)
	}
	if _, err = js.CreateConsumer(ctx, fleet.StreamBook, jetstream.ConsumerConfig{Durable: "archive", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	return store
}

// whole says whether every order is in the book and can be taken.
func (c *cafe) whole(t *testing.T) {
	t.Helper()
	for n := range cafeOrders {
		if e, err := c.Book().Read(t.Context(), orderN(n).ID); err != nil || e.Phase != fleet.Accepted {
			t.Errorf("order %d: %v %v", n, e.Phase, err)
		}
	}
	if w, err := c.Orders().Waiting(t.Context()); err != nil || w[arabica] != cafeOrders {
		t.Errorf("waiting: %v %v", w, err)
	}
	if x, err := c.Tickets().Next(t.Context(), []fleet.Class{arabica}, nil); err != nil || x.MessageID == "" {
		t.Error(x, err)
	}
	brokertest.Eventually(t, "a healthy broker", func() bool { return c.Healthy() == nil })
}

// harms are what may happen to a file.
var harms = map[string]func(file string, b []byte) error{
	"emptied": func(f string, _ []byte) error { return os.WriteFile(f, nil, 0o600) },
	"cut":     func(f string, b []byte) error { return os.WriteFile(f, b[:len(b)/2], 0o600) },
	"zeroed":  func(f string, b []byte) error { return os.WriteFile(f, make([]byte, len(b)), 0o600) },
	"removed": func(f string, _ []byte) error { return os.Remove(f) },
	"folder":  func(f string, _ []byte) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o700)) },
	"a bit in the first quarter": func(f string, b []byte) error {
		b[len(b)/4] ^= 1
		return os.WriteFile(f, b, 0o600)
	},
	"a bit in the last quarter": func(f string, b []byte) error {
		b[len(b)*3/4] ^= 1
		return os.WriteFile(f, b, 0o600)
	},
}

// TestDamagedDescriptions: whatever happens to the file of a queue, it is made anew;
// whatever happens to the description of a stream, it is written anew over its
// messages. The shop opens, and has every order.
func TestDamagedDescriptions(t *testing.T) {
	store := usedStore(t)
	files, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", "*", "meta.*"))
	if err != nil {
		t.Fatal(err)
	}
	consumers, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", "*", "obs", "*", "*"))
	if err != nil || len(consumers) != 9 {
		t.Fatal(consumers, err)
	}
	for _, file := range append(files, consumers...) {
		if !strings.Contains(file, fleet.StreamBook) && !strings.Contains(file, fleet.StreamOrders) && !strings.Contains(file, "/obs/") {
			continue
		}
		name, _ := filepath.Rel(store, file)
		for harm, do := range harms {
			if !strings.HasSuffix(file, "meta.inf") && harm != "removed" && harm != "a bit in the first quarter" {
				continue
			}
			t.Run(strings.ReplaceAll(name, "/", " ")+" "+harm, func(t *testing.T) {
				t.Parallel()
				copied := t.TempDir()
				if err := os.CopyFS(copied, os.DirFS(store)); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(filepath.Join(copied, name))
				if err != nil {
					t.Fatal(err)
				}
				if err := do(filepath.Join(copied, name), b); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					c, err := openCafe(t, copied)
					if err != nil {
						c.close()
						t.Fatal(err)
					}
					c.whole(t)
					c.close()
				}
			})
		}
	}
}

// TestDamagedElsewhere: what can't be put right is said for what it is, soon: the
// file or what the server could not do with it, and never that nobody answers.
func TestDamagedElsewhere(t *testing.T) {
	store := usedStore(t)
	err := filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "meta.") || strings.Contains(path, "/obs/") || d.Name() == "barista.lock" {
			return err
		}
		if !strings.Contains(path, fleet.StreamBook) && !strings.Contains(path, fleet.StreamOrders) {
			return nil
		}
		name, _ := filepath.Rel(store, path)
		for harm, do := range harms {
			t.Run(strings.ReplaceAll(name, "/", " ")+" "+harm, func(t *testing.T) {
				t.Parallel()
				copied := t.TempDir()
				if err := os.CopyFS(copied, os.DirFS(store)); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(filepath.Join(copied, name))
				if err != nil || len(b) == 0 {
					t.Skip(len(b), err)
				}
				if err := do(filepath.Join(copied, name), b); err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				c, err := openCafe(t, copied)
				defer c.close()
				if took := time.Since(begin); took > 40*time.Second {
					t.Errorf("it was said after %v", took)
				}
				if err == nil {
					return // what the messages say is not looked at here
				}
				t.Log(err)
				if errors.Is(err, fleet.ErrNoAnswer) || !strings.Contains(err.Error(), "coffee-") {
					t.Errorf("the reason: %v", err)
				}
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestForeignStreamDamaged: a stream that is not the shop's is not touched, and
// named.
func TestForeignStreamDamaged(t *testing.T) {
	store := usedStore(t)
	c, err := openCafe(t, store)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("", nats.InProcessServer(c.Broker))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "other", Subjects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	c.close()
	file := filepath.Join(store, "jetstream", "$G", "streams", "other", "meta.inf")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = openCafe(t, store)
	c.close()
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "{" {
		t.Error("it was changed")
	}
	// A person who moves it out, as it is said, has done enough.
	if err := os.Rename(filepath.Dir(file), filepath.Join(t.TempDir(), "other")); err != nil {
		t.Fatal(err)
	}
	c, err = openCafe(t, store)
	defer c.close()
	if err != nil {
		t.Fatal(err)
	}
	c.whole(t)
	if _, err := os.Lstat(file); err == nil {
		t.Error("it came back")
	}
}

// TestStartThatBrokeOff: a server that removes a stream which it can't open may be
// killed in between. The next start has all of it again, whatever was gone.
func TestStartThatBrokeOff(t *testing.T) {
	store := usedStore(t)
	for name, gone := range map[string][]string{
		"the description":        {"meta.inf"},
		"its checksum":           {"meta.sum"},
		"the messages":           {"msgs"},
		"a block":                {"msgs/1.blk"},
		"blocks and description": {"meta.inf", "meta.sum", "msgs/1.blk"},
		"all but the queues":     {"meta.inf", "meta.sum", "msgs"},
		"all":                    {"."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			copied := t.TempDir()
			jetstream := os.DirFS(filepath.Join(store, "jetstream"))
			if err := errors.Join(os.CopyFS(filepath.Join(copied, "jetstream"), jetstream), os.CopyFS(filepath.Join(copied, "opening"), jetstream)); err != nil {
				t.Fatal(err)
			}
			for _, stream := range []string{fleet.StreamBook, fleet.StreamOrders} {
				for _, g := range gone {
					if err := os.RemoveAll(filepath.Join(copied, "jetstream", "$G", "streams", stream, g)); err != nil {
						t.Fatal(err)
					}
				}
			}
			c, err := openCafe(t, copied)
			defer c.close()
			if err != nil {
				t.Fatal(err)
			}
			c.whole(t)
			if aside, _ := filepath.Glob(filepath.Join(copied, "damaged", "*")); len(aside) > 0 {
				t.Errorf("taken for damage: %q", aside)
			}
		})
	}
}

// TestStoreOfALaterVersion: what a later server wrote is not damaged, and it is
// said so.
func TestStoreOfALaterVersion(t *testing.T) {
	store := usedStore(t)
	folder := filepath.Join(store, "jetstream", "$G", "streams", fleet.StreamBook)
	b, err := os.ReadFile(filepath.Join(folder, "meta.inf"))
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte(`{"not_known_yet":true,`), b[1:]...)
	key := sha256.Sum256([]byte(fleet.StreamBook))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		t.Fatal(err)
	}
	h.Write(b)
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "meta.inf"), b, 0o600), os.WriteFile(filepath.Join(folder, "meta.sum"), []byte(hex.EncodeToString(h.Sum(nil))), 0o600)); err != nil {
		t.Fatal(err)
	}
	c, err := openCafe(t, store)
	c.close()
	if err == nil || errors.Is(err, fleet.ErrNoAnswer) || !strings.Contains(err.Error(), "later version") || !strings.Contains(err.Error(), fleet.StreamBook) {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(filepath.Join(folder, "meta.inf")); err != nil || !bytes.Equal(b, now) {
		t.Errorf("it was changed: %v", err)
	}
}

// TestFolderInTheWay: a store whose messages can't be read at all.
func TestFolderInTheWay(t *testing.T) {
	store := usedStore(t)
	msgs := filepath.Join(store, "jetstream", "$G", "streams", fleet.StreamBook, "msgs")
	if err := errors.Join(os.Rename(msgs, msgs+"-aside"), os.WriteFile(msgs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	c, err := openCafe(t, store)
	c.close()
	if err == nil || !strings.Contains(err.Error(), fleet.StreamBook) || !strings.Contains(err.Error(), "could not create message storage") || !strings.Contains(err.Error(), "copy") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > 40*time.Second {
		t.Errorf("after %v", took)
	}
	// The server removes what it can't open. A person who mends it has it all again.
	if err := errors.Join(os.Remove(msgs), os.Rename(msgs+"-aside", msgs)); err != nil {
		t.Fatal(err)
	}
	c, err = openCafe(t, store)
	defer c.close()
	if err != nil {
		t.Fatal(err)
	}
	c.whole(t)
}
