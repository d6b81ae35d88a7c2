package fleet

import (
	"strings"
	"time"
)

// Site is a shop of its own, whose events a hub gathers.
type Site struct {
	Name    string        // also its JetStream domain; a token
	Events  uint64        // that the hub has of it, those that ran out of their time left out
	Behind  uint64        // that the hub has still to fetch, as far as it knows
	Silent  time.Duration // since the hub last heard from it
	Heard   bool          // at all, since the hub's server or the site was started
	Keyless bool          // it has no account at the hub: nothing of it can be read, and nothing comes
}

// SiteAPI is what begins the subjects under which a hub with keys is asked for what it
// has of a site, whose name follows: each site's copies are apart from all else there.
const SiteAPI = "hub.js"

const siteStreams = "coffee-site-"

// SiteStream is where a hub keeps a site's events.
func SiteStream(site string) string { return siteStreams + site }

// SiteOf is the site whose events a stream of a hub keeps.
func SiteOf(stream string) (site string, is bool) {
	site, is = strings.CutPrefix(stream, siteStreams)
	return site, is && IsToken(site)
}
