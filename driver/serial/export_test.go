package serial

// Adapter is the USB adapter that was there when the port was opened.
func (p *Port) Adapter() Adapter { return p.first }

// Dropped counts bytes that came and nobody wanted.
func (p *Port) Dropped() int64 { return p.dropped.Load() }
