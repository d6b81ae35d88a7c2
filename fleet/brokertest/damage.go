package brokertest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Blocks are the files of a stream's messages in a store, oldest first.
func Blocks(t testing.TB, store, stream string) []string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no message blocks of %s in %s: %v", stream, store, err)
	}
	return blocks
}

// Flip changes one bit of a stopped broker's store: in the last message of the
// stream that holds all of these, in that order.
func Flip(t testing.TB, store, stream string, parts ...string) {
	t.Helper()
	for _, path := range Blocks(t, store, stream) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for end := len(raw); end > 0; {
			at := bytes.LastIndex(raw[:end], []byte(parts[0]))
			if at < 0 {
				break
			}
			end = at
			fits := true
			for _, p := range parts[1:] {
				i := bytes.Index(raw[at:min(len(raw), at+4096)], []byte(p))
				at, fits = at+max(i, 0), fits && i >= 0
			}
			if !fits {
				continue
			}
			raw[at+1] ^= 0x02
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s holds no %q", stream, parts)
}
