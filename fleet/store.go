package fleet

// StreamFile is a stream as it lies in the folder of a broker's store.
type StreamFile struct {
	Name   string
	Config []byte // JSON, as the broker's clients know it
	Held   int64  // bytes of its messages on disk
}
