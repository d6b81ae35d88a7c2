package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// What a hub calls the things of a site.
const (
	siteStreams = "coffee-site-"
	// syncPrefix is where a site sends what its hub has asked for; the site's key at the
	// hub may publish there and nowhere else.
	syncPrefix = "sync."
)

// AddSite has the hub that this connection is to, gather the events of a site, each once
// and in order, under coffee.site.<name>.events.>; while the link is away the site keeps
// them. It reports whether the site is new. It is for the admin's key. A site that is
// there already is made as it must be.
func (c *Conn) AddSite(ctx context.Context, site string) (isNew bool, err error) {
	if !fleet.IsToken(site) {
		return false, fmt.Errorf("queue: %q is no name of a site: 1 to 32 of a-z, 0-9 and -", site)
	}
	want := c.siteStream(site)
	have, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = c.js.CreateStream(ctx, want); noRoom(err) {
			err = fmt.Errorf("it needs %s, and the hub has no room for it: raise what it may hold (max_file_store): %w", show("MaxBytes", want.MaxBytes), err)
		}
		if err != nil {
			return false, said("make "+want.Name, err)
		}
		return true, nil
	}
	if err != nil {
		return false, said("look at "+want.Name, err)
	}
	is := have.CachedInfo().Config
	if sameSources(is.Sources, want.Sources) {
		return false, nil
	}
	is.Sources = want.Sources
	if _, err := c.js.UpdateStream(ctx, is); err != nil {
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
	return StoreBound(ordersPerDay, there) + moreSites*c.siteStream("x").MaxBytes
}

// Sites are those whose events the hub gathers, by name.
func (c *Conn) Sites(ctx context.Context) ([]fleet.Site, error) {
	list := c.js.ListStreams(ctx)
	var sites []fleet.Site
	for info := range list.Info() {
		name, is := strings.CutPrefix(info.Config.Name, siteStreams)
		if !is || !fleet.IsToken(name) || len(info.Config.Sources) != 1 {
			continue
		}
		s := fleet.Site{Name: name, Events: info.State.Msgs}
		for _, from := range info.Sources {
			s.Behind, s.Heard, s.Silent = from.Lag, from.Active >= 0, max(0, from.Active.Round(time.Second))
		}
		sites = append(sites, s)
	}
	if err := list.Err(); err != nil {
		return nil, said("look at the sites", err)
	}
	slices.SortFunc(sites, func(a, b fleet.Site) int { return strings.Compare(a.Name, b.Name) })
	return sites, nil
}

// ForgetSite removes what the hub has gathered of a site, and gathers no more of it. It
// is for the admin's key. The error is fleet.ErrNotFound if there is no such site.
func (c *Conn) ForgetSite(ctx context.Context, site string) error {
	if !fleet.IsToken(site) {
		return fleet.ErrNotFound
	}
	err := c.js.DeleteStream(ctx, fleet.SiteStream(site))
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fleet.ErrNotFound
	case err != nil:
		return said("remove "+fleet.SiteStream(site), err)
	}
	return nil
}
