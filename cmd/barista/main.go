// Command barista turns coffee machines into one shop: the service on each
// machine, the shop around them, and the tool of the people who run it, in one
// binary.
//
// It reads flags and signals here, and does the work elsewhere: one file per
// subcommand; root.go lists them all. It is started by a person or by systemd
// and stops on SIGINT or SIGTERM, when everything it began has ended. It must
// never leave an output on, and never talk to a machine behind the shop's back:
// what a verb does goes over the broker like anybody's request.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
