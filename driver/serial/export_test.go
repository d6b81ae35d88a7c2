package serial

// Dropped counts bytes that came and nobody wanted.
func (p *Port) Dropped() int64 { return p.dropped.Load() }
