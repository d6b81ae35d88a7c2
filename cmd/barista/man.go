//go:build man

package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra/doc"
)

// With this tag the binary writes the manual's pages into the folder that is its only
// argument, and does nothing else. The package's build runs it; the program has none of
// it, and nothing of what it needs.
func init() {
	if err := manual(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// manual writes barista.1 and a page for every command. Its date is the source's, so
// that the same source makes the same pages.
func manual(dir string) error {
	s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	at := time.Unix(s, 0).UTC()
	root := newRoot()
	root.DisableAutoGenTag = true
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &at, Source: "barista", Manual: "Coffee machines"}, dir)
}
