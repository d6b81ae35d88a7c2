package fleet

import "time"

// Site is a shop of its own, whose events a hub gathers.
type Site struct {
	Name   string        // also its JetStream domain; a token
	Events uint64        // that the hub has of it, those that ran out of their time left out
	Behind uint64        // that the hub has still to fetch, as far as it knows
	Silent time.Duration // since the hub last heard from it
	Heard  bool          // at all, since the hub's server or the site was started

}

// SiteStream is where a hub keeps a site's events.
func SiteStream(site string) string { return "coffee-site-" + site }

// SiteSubject is where the events of a site stand on its hub: of an order, or of all
// with "*", and of a slot.
func SiteSubject(site, order, slot string) string {
	return Subject("coffee", "site", site, "events", order, slot)
}
