package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"barista/fleet"
)

// mostReplicas is how many servers keep each stream: with three one may be gone, and
// more would only make each write slower.
const mostReplicas = 3

// Servers are the names of the servers with JetStream that answer in the cluster of
// this connection, sorted; one that is no cluster answers alone, and is not asked.
//
// Measured is who answers, within half a second, the server that this connection is
// with: a server that is away, or just starts, is not among them. So a cluster that is
// not complete shows fewer than it has. What a server tells a client at connect would
// not do: those are addresses, which may be hidden, mapped or shared, and nobody says
// behind which of them JetStream is. What a stream tells of itself would not do either:
// it knows those that keep it, and that is one until it was raised.
func (c *Conn) Servers(ctx context.Context) ([]string, error) {
	cluster := c.nc.ConnectedClusterName()
	if cluster == "" {
		return []string{c.nc.ConnectedServerName()}, nil
	}
	body, err := json.Marshal(map[string]any{"include_unused": true, "cluster": cluster})
	if err != nil {
		return nil, err
	}
	answers, err := c.AskAll(ctx, fleet.SubjectServers, body)
	if err != nil {
		return nil, err
	}
	names := map[string]string{} // by id
	for _, a := range answers {
		var said struct {
			Server struct {
				ID        string `json:"id"`
				Name      string `json:"name"`
				Cluster   string `json:"cluster"`
				JetStream bool   `json:"jetstream"`
				Flags     int    `json:"flags"`
			} `json:"server"`
		}
		if s := &said.Server; json.Unmarshal(a, &said) == nil && s.Cluster == cluster && (s.JetStream || s.Flags&1 != 0) {
			names[s.ID] = s.Name
		}
	}
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

// replicate finds out how many servers are to keep each stream, and says so. It never
// becomes less: what is kept three times stays so while a server is away.
func (c *Conn) replicate(ctx context.Context) error {
	n := c.cfg.Replicas
	args := []any{"asked_for", n}
	if n == 0 {
		here, err := c.Servers(ctx)
		if err != nil {
			return err
		}
		if len(here) == 0 {
			c.once("servers", func() {
				c.log.Warn("the cluster does not say how many servers it has, so each stream is made on one of them only: say it with nats: replicas", "cluster", c.nc.ConnectedClusterName())
			})
		}
		n, args = max(1, min(mostReplicas, len(here))), []any{"servers", fmt.Sprint(here)}
	}
	c.state.mu.Lock()
	was := c.state.replicas
	c.state.replicas, c.state.cluster = max(n, was), c.nc.ConnectedClusterName()
	c.state.mu.Unlock()
	if n > was && (was > 0 || n > 1 || c.cfg.Replicas > 0) {
		c.log.Info("each stream is kept by so many servers", append([]any{"replicas", n, "cluster", c.nc.ConnectedClusterName()}, args...)...)
	}
	return nil
}

// copies is how many servers keep a stream that is made now.
func (s *state) copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, s.replicas)
}

// clustered reports whether the broker is one of several servers.
func (s *state) clustered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster != ""
}
