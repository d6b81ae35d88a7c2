package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// syncPrefix is where a site sends what its hub has asked for; the site's key at the
// hub may publish there and nowhere else.
const syncPrefix = "sync."

// sitesStream is where a hub with keys keeps the names of its sites, a message each: what
// it has of a site is in the site's own account, and none of those knows of the others.
const sitesStream = "coffee-sites"

func siteName(site string) string { return fleet.Subject("coffee", "sites", site) }

// keyed reports whether the hub has an account for each site.
func (c *Conn) keyed() bool { return c.cfg.Key != nil }

// ofSite asks JetStream for what the hub has of a site.
func (c *Conn) ofSite(site string) (jetstream.JetStream, error) {
	if !c.keyed() {
		return c.js, nil
	}
	return jetstream.NewWithAPIPrefix(c.nc, fleet.SiteAPI+"."+site, jetstream.WithDefaultTimeout(askFor))
}

// AddSite has the hub that this connection is to, gather the events of a site, each once
// and in order, under coffee.site.<name>.events.>; while the link is away the site keeps
// them. It reports whether the site is new. It is for the admin's key. A site that is
// there already is made as it must be. The error is fleet.ErrNobody if the hub has keys
// and no account for the site, to which nobody has let it in.
func (c *Conn) AddSite(ctx context.Context, site string) (isNew bool, err error) {
	if !fleet.IsToken(site) {
		return false, fmt.Errorf("queue: %q is no name of a site: 1 to 32 of a-z, 0-9 and -", site)
	}
	at, err := c.ofSite(site)
	if err != nil {
		return false, fmt.Errorf("queue: %w", err)
	}
	if err := c.replicate(ctx); err != nil {
		return false, err
	}
	if isNew, err = makeSite(ctx, at, c.siteStream(site)); err != nil || !c.keyed() {
		return isNew, err
	}
	list := jetstream.StreamConfig{
		Name: sitesStream, Subjects: []string{"coffee.sites.*"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: 1, MaxBytes: 1 << 20, MaxMsgSize: 1 << 10, Replicas: c.state.copies(),
	}
	if _, err := c.js.CreateStream(ctx, list); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return false, said("make "+sitesStream, err)
	}
	if _, err := c.js.Publish(ctx, siteName(site), nil); err != nil {
		return false, said("write the site down", err)
	}
	return isNew, nil
}

func makeSite(ctx context.Context, at jetstream.JetStream, want jetstream.StreamConfig) (isNew bool, err error) {
	have, err := at.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = at.CreateStream(ctx, want); noRoom(err) {
			err = fmt.Errorf("it needs %s, and the hub has no room for it: raise what it may hold (max_file_store): %w", show("MaxBytes", want.MaxBytes), err)
		}
		if err != nil {
			return false, said("make "+want.Name, err)
		}
		return true, nil
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return false, fmt.Errorf("the hub has no account for it: %w", fleet.ErrNobody)
	}
	if err != nil {
		return false, said("look at "+want.Name, err)
	}
	is := have.CachedInfo().Config
	if sameSources(is.Sources, want.Sources) {
		return false, nil
	}
	is.Sources = want.Sources
	if _, err := at.UpdateStream(ctx, is); err != nil {
		return false, said("adapt "+want.Name, err)
	}
	return false, nil
}

func sameSources(a, b []*jetstream.StreamSource) bool {
	return slices.EqualFunc(a, b, func(a, b *jetstream.StreamSource) bool {
		return a.Name == b.Name && a.External != nil && *a.External == *b.External && slices.Equal(a.SubjectTransforms, b.SubjectTransforms)
	})
}

// siteStream has the bounds of the site's own stream.
func (c *Conn) siteStream(site string) jetstream.StreamConfig {
	all := c.streams(nil)
	s := all[slices.IndexFunc(all, func(s jetstream.StreamConfig) bool { return s.Name == fleet.StreamEvents })]
	s.Name, s.Subjects = fleet.SiteStream(site), nil
	s.PersistMode = jetstream.DefaultPersistMode // here nobody tells it again
	s.Sources = []*jetstream.StreamSource{{
		Name:              fleet.StreamEvents,
		External:          &jetstream.ExternalStream{APIPrefix: "$JS." + site + ".API", DeliverPrefix: syncPrefix + site},
		SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "coffee.events.>", Destination: "coffee.site." + site + ".events.>"}},
	}}
	return s
}

// moreSites is how many sites a hub can always take in before its next start.
const moreSites = 64

// HubBound is StoreBound for a hub.
func HubBound(ordersPerDay int, there []fleet.StreamFile) int64 {
	c := &Conn{cfg: Config{OrdersPerDay: ordersPerDay}}
	return StoreBound(ordersPerDay, there) + moreSites*c.siteStream("x").MaxBytes + 1<<20
}

// Sites are those whose events the hub gathers, by name. It is for the admin's key.
func (c *Conn) Sites(ctx context.Context) ([]fleet.Site, error) {
	names, err := c.siteNames(ctx)
	if err != nil {
		return nil, said("look at the sites", err)
	}
	var sites []fleet.Site
	for _, name := range names {
		s, err := c.site(ctx, name)
		if err != nil {
			return nil, said("look at "+fleet.SiteStream(name), err)
		}
		sites = append(sites, s)
	}
	return sites, nil
}

func (c *Conn) siteNames(ctx context.Context) (names []string, err error) {
	if !c.keyed() {
		list := c.js.StreamNames(ctx)
		for stream := range list.Name() {
			if name, is := fleet.SiteOf(stream); is {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names, list.Err()
	}
	s, err := c.js.Stream(ctx, sitesStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("coffee.sites.*"))
	if err != nil {
		return nil, err
	}
	for subject := range info.State.Subjects {
		names = append(names, subject[strings.LastIndexByte(subject, '.')+1:])
	}
	slices.Sort(names)
	return names, nil
}

// site is one of them.
func (c *Conn) site(ctx context.Context, name string) (fleet.Site, error) {
	out := fleet.Site{Name: name}
	at, err := c.ofSite(name)
	if err != nil {
		return out, err
	}
	s, err := at.Stream(ctx, fleet.SiteStream(name))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		out.Keyless = true
		return out, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return out, nil
	case err != nil:
		return out, err
	}
	info := s.CachedInfo()
	out.Events = info.State.Msgs
	for _, from := range info.Sources {
		out.Behind, out.Heard, out.Silent = from.Lag, from.Active >= 0, max(0, from.Active.Round(time.Second))
	}
	return out, nil
}

// ForgetSite removes what the hub has gathered of a site, and gathers no more of it. It
// is for the admin's key. The error is fleet.ErrNotFound if there is no such site, and
// fleet.ErrNobody as with AddSite.
func (c *Conn) ForgetSite(ctx context.Context, site string) error {
	if !fleet.IsToken(site) {
		return fleet.ErrNotFound
	}
	names, err := c.siteNames(ctx)
	if err != nil {
		return said("look at the sites", err)
	}
	if !slices.Contains(names, site) {
		return fleet.ErrNotFound
	}
	at, err := c.ofSite(site)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	err = at.DeleteStream(ctx, fleet.SiteStream(site))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("the hub has no account for it any more, and what it has of it lies out of reach: %w", fleet.ErrNobody)
	case err != nil && !errors.Is(err, jetstream.ErrStreamNotFound):
		return said("remove "+fleet.SiteStream(site), err)
	case !c.keyed():
		return nil
	}
	s, err := c.js.Stream(ctx, sitesStream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(siteName(site)))
	}
	if err != nil {
		return said("strike the site off", err)
	}
	return nil
}
