package configs

// Metrics is where a Prometheus finds this service, beside the pages of one that has
// them: /metrics, /livez and /readyz.
type Metrics struct {
	Pos    Pos
	Listen string // host:port
}

// DefaultMetrics is for the only service of a computer; each further one needs a port
// of its own.
const DefaultMetrics = "127.0.0.1:9464"

func decodeMetrics(m *Map) *Metrics {
	c := &Metrics{Pos: m.Node().Pos(), Listen: DefaultMetrics}
	where, plain := m.Get("listen"), m.Get("plain")
	wants, _ := plain.Bool()
	switch s, alone, ok := address(where, DefaultMetrics); {
	case ok && !alone && !wants && plain.Clean():
		where.Problem(Quote(s)+" would be open to the network without TLS",
			"write plain: true if this house wants that: whoever shares its network can then read what the machines do and how much is sold, and no names; or write for example "+DefaultMetrics)
	case ok:
		c.Listen = s
	}
	return c
}
