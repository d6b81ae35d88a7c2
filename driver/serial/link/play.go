package link

import (
	"io"
	"slices"
	"sync"
	"time"
)

// Chunk is what one read brought.
type Chunk struct {
	Bytes []byte
	At    time.Time
}

// Play runs a simulator at this end of a line: play gets what comes, until the
// other side is gone and the channel is closed. When play returns, the line is
// closed, and Play returns when nobody reads it any more.
func Play(line io.ReadWriteCloser, play func(in <-chan Chunk) error) error {
	in, quit := make(chan Chunk, 16), make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(in)
		buf := make([]byte, 512)
		for {
			n, err := line.Read(buf)
			if n > 0 {
				select {
				case in <- Chunk{slices.Clone(buf[:n]), time.Now()}:
				case <-quit:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	err := play(in)
	close(quit)
	_ = line.Close() // the other side may have been faster
	reader.Wait()
	return err
}
