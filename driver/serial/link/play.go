package link

import (
	"io"
	"slices"
	"sync"
	"time"
)

// Chunk is what one read brought. It came between Since and At, which are the
// same on a line that says nothing of it. On a Link they are further apart when the
// computer was busy with something else: a simulator that is strict about time gives
// its host the benefit of that, or it judges the scheduler.
type Chunk struct {
	Bytes     []byte
	Since, At time.Time
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
				c := Chunk{Bytes: slices.Clone(buf[:n]), At: time.Now()}
				c.Since = c.At
				if l, looks := line.(interface{ Since() time.Time }); looks {
					c.Since = l.Since()
				}
				select {
				case in <- c:
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
