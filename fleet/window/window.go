// Package window is what a shop shows to those whose key sees no stream and no
// bucket: operators and webs, which stand in accounts of their own. They ask a
// controller, on fleet.WindowSubject, and it reads for them.
//
// It promises the answers that reading the broker directly would give: of the book
// from the leader, of who is here from the roll that the controller follows; errors
// keep their meaning over the wire, as codes. Nothing that can be asked here writes
// the book; of the settings the menu and the machines' cordons are set, as the verbs of
// an operator do, and nothing else. An answer is never larger than a message may be:
// what is more comes in pages, and where a page begins is said by the request, in
// sequences and names of the shop's own, so that any controller gives the next one.
// Who follows the book asks again and again, and a request waits a moment for the next
// record; there is no state between two of them, so nothing is lost or doubled when a
// controller ends. Waiting ones are bounded: who finds no seat is told so, and asks
// every second.
//
// A controller makes a Window and starts it with Run, which returns when every
// request that it began is answered. Remote is the other side: it starts nothing, any
// goroutine may call it, and every call ends with its context.
package window

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

// The bounds of the work, over all who ask. Together they stay below what a server of
// the shop answers at once, so that nobody waits for a seat of somebody else.
const (
	mostAtWork  = 24 // requests that read something
	mostWaiting = 32 // that wait for the next record
	mostOlder   = 4  // of those at work, that read what is not in memory
)

// waitFor is how long a request waits for the next record; within is how long any
// takes. Whoever asks waits a little longer than that.
const (
	waitFor = 2 * time.Second
	within  = 2500 * time.Millisecond
)

// largest is the largest answer, in bytes.
const largest = 512 << 10

// Parts is what a window shows.
type Parts struct {
	Book Book // read from the leader
	// Follow hands over every record as Book.Follow does, for the whole process:
	// the ledger's.
	Follow   func(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error
	Roll     Roll
	Settings Settings
	All      func(context.Context) (map[string]fleet.Setting, string, error) // every setting
	Waiting  func(context.Context) (map[fleet.Class]int, error)              // messages in the queue
	Stored   func(context.Context) ([]fleet.StoredOrder, error)              // the same, each
	Told     func(context.Context) (uint64, error)                           // how far events are told
	Server   fleet.Server
	// MaxPayload is the largest message that the broker takes now, in bytes. nil: 1 MiB.
	MaxPayload func() int
	Log        *slog.Logger // nil: none
}

// Book is what is read of the book.
type Book interface {
	Read(ctx context.Context, order string) (fleet.Entry, error)
	At(ctx context.Context, seq uint64) (fleet.Record, error)
	History(ctx context.Context, order string) ([]fleet.Entry, error)
	Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error
	LastBalance(ctx context.Context) (fleet.Record, error)
	Since(ctx context.Context, t time.Time) (uint64, error)
	Now(ctx context.Context) (time.Time, error)
}

// Roll is who is here, as the controller follows it.
type Roll interface {
	Ready() <-chan struct{}
	Changed() <-chan struct{}
	Machines() []*fleet.Machine
}

// Settings is what is read and set of the settings.
type Settings interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// Window answers. See New.
type Window struct {
	p      Parts
	log    *slog.Logger
	recent *recent

	mu    sync.Mutex // guards what follows: seats that are taken
	work  int
	waits int
	old   int
}

// New makes a window that answers nobody yet.
func New(p Parts) *Window {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.MaxPayload == nil {
		p.MaxPayload = func() int { return 1 << 20 }
	}
	return &Window{p: p, log: p.Log, recent: newRecent()}
}

// Run answers until ctx ends and what was begun is answered.
func (w *Window) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { fleet.Keep(ctx, w.log, "what the window shows", func() error { return w.follow(ctx) }) })
	for _, subject := range fleet.WindowServed() {
		wg.Go(func() {
			fleet.Keep(ctx, w.log, subject, func() error { return w.p.Server.Serve(ctx, subject, true, w.answer) })
		})
	}
	return nil
}

// verbs are what can be asked. An answer without a code was done.
var verbs = map[string]func(*Window, context.Context, ask) (reply, error){
	fleet.WindowNow:      (*Window).now,
	fleet.WindowSince:    (*Window).since,
	fleet.WindowAt:       (*Window).at,
	fleet.WindowBalance:  (*Window).balance,
	fleet.WindowHistory:  (*Window).history,
	fleet.WindowRecords:  (*Window).records,
	fleet.WindowMachines: (*Window).machines,
	fleet.WindowRead:     (*Window).read,
	fleet.WindowGet:      (*Window).get,
	fleet.WindowPut:      (*Window).put,
	fleet.WindowDelete:   (*Window).delete,
	fleet.WindowAll:      (*Window).all,
	fleet.WindowWaiting:  (*Window).waiting,
	fleet.WindowTold:     (*Window).told,
	fleet.WindowStored:   (*Window).stored,
}

// answer answers one request.
func (w *Window) answer(ctx context.Context, subject string, body []byte) []byte {
	verb := subject[strings.LastIndexByte(subject, '.')+1:]
	do := verbs[verb]
	// The subject is what the asker's rights were looked at for.
	if do == nil || fleet.WindowSubject(verb) != subject {
		return encode(reply{Code: codeRefused})
	}
	a, err := decode(body)
	if err != nil {
		w.log.Warn("what was asked is no question", "verb", verb, "bytes", len(body), "err", fleet.Plain(err.Error()))
		return encode(reply{Code: codeRefused})
	}
	leave, ok := w.sit(&w.work, mostAtWork)
	if !ok {
		return encode(reply{Code: codeBusy})
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := do(w, ctx, a)
	leave()
	if err == nil && verb == fleet.WindowRecords && a.Wait && len(r.Records) == 0 {
		r, err = w.await(ctx, r.Next)
	}
	if err != nil {
		r.Code = codeOf(err)
		if r.Code == codeNoAnswer && ctx.Err() == nil {
			w.log.Warn("a question could not be answered", "verb", verb, "err", err)
		}
	}
	return encode(r)
}

// sit takes a seat of those that a count bounds; leave gives it back.
func (w *Window) sit(count *int, most int) (leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *count >= most {
		return nil, false
	}
	*count++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		*count--
	}, true
}

// limit is how large an answer's content may be.
func (w *Window) limit() int { return min(largest, w.p.MaxPayload()-frame) }

func encode(r reply) []byte {
	b, err := json.Marshal(r)
	if err != nil { // plain structs: cannot happen
		return fmt.Appendf(nil, `{"code":%q}`, codeNoAnswer)
	}
	return b
}

// codeOf says what an error means.
func codeOf(err error) string {
	for code, means := range meanings {
		if errors.Is(err, means) {
			return code
		}
	}
	return codeNoAnswer
}
