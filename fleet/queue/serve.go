package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"barista/fleet"
)

const (
	// atOnce bounds how many requests of one subject are answered at the same time.
	atOnce = 64
	// mostWaiting and mostBytes bound those that wait for it; what comes beyond gets no
	// answer, as if the shop were away. Behind so many it would have been too late.
	mostWaiting = 2048
	mostBytes   = 4 << 20
)

// Service is what `nats micro info` shows of who answers. Whoever may ask sees all of it.
type Service struct {
	Version  string            // of the program, as it calls itself
	Metadata map[string]string // by words that programs read: role, machine, shop …
}

// versioned is the form that a micro service's version must have, which is that of
// semver.org, and of a module's version behind its v.
var versioned = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// unversioned are the characters that stand nowhere in such a version.
var unversioned = regexp.MustCompile(`[^0-9A-Za-z]+`)

// version is the program's version in that form; what comes before a release has ~ in a
// package's version, as Debian writes it. One that has another form is 0.0.0, which comes
// before all, built as it says of itself: it must not pass for a release.
func version(program string) string {
	if v := strings.Replace(strings.TrimPrefix(program, "v"), "~", "-", 1); versioned.MatchString(v) {
		return v
	}
	return "0.0.0+" + cmp.Or(strings.Trim(unversioned.ReplaceAllString(program, "-"), "-"), "unknown")
}

type server struct{ c *Conn }

// Server answers requests as a NATS micro service, so that `nats micro ls`, `nats micro
// info` and `nats micro stats` show it.
func (c *Conn) Server() fleet.Server { return server{c} }

func (s server) Serve(ctx context.Context, subject string, shared bool, answer func(context.Context, string, []byte) []byte) error {
	svc, err := micro.AddService(s.c.nc, micro.Config{
		Name:               s.c.cfg.Name,
		Version:            version(s.c.cfg.Service.Version),
		Metadata:           s.c.cfg.Service.Metadata, // cloned there
		Description:        "barista: " + subject,
		QueueGroupDisabled: !shared,
	})
	if err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, atOnce)
	)
	defer wg.Wait()
	defer svc.Stop()
	handler := micro.HandlerFunc(func(r micro.Request) {
		if !fleet.SafeReply(r.Reply()) {
			s.c.log.Warn("a request wants its answer elsewhere than in an inbox", "subject", r.Subject())
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := r.Respond(answer(ctx, r.Subject(), r.Data())); err != nil {
				s.c.log.Warn("an answer did not leave", "subject", r.Subject(), "err", err)
			}
		})
	})
	name := strings.NewReplacer(".", "-", "*", "any", ">", "all").Replace(subject)
	if err := svc.AddEndpoint(name, handler, micro.WithEndpointSubject(subject), micro.WithEndpointPendingLimits(mostWaiting, mostBytes)); err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	<-ctx.Done()
	return ctx.Err()
}

type requester struct{ c *Conn }

// Requester asks another role.
func (c *Conn) Requester() fleet.Requester { return requester{c} }

func (r requester) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	m, err := r.c.nc.RequestWithContext(ctx, subject, body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fleet.ErrNobody
	case err != nil:
		return nil, unsure(subject, err)
	}
	return m.Data, nil
}

// hearAll is how long AskAll waits for answers.
const hearAll = 500 * time.Millisecond

// AskAll asks everybody who listens on the subject, and returns what they answer
// within half a second; nothing at once where nobody listens.
func (c *Conn) AskAll(ctx context.Context, subject string, body []byte) (answers [][]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, hearAll)
	defer cancel()
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, unsure(subject, err)
	}
	defer sub.Unsubscribe()
	if err := c.nc.PublishRequest(subject, inbox, body); err != nil {
		return nil, unsure(subject, err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
			return answers, nil
		case err != nil:
			return answers, unsure(subject, err)
		case len(m.Data) == 0 && m.Header.Get("Status") == "503":
			return answers, nil
		}
		answers = append(answers, m.Data)
	}
}
