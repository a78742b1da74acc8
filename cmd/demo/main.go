// Command demo runs everything in one process, for people who want to see
// Portico before they read about it: the provider on the embedded database, the
// Patient and the Practice Portal, a mailbox, and invented people. It prints
// where to go and who can sign in. See -help for the flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/portico-id/portico/internal/demo"
)

func main() {
	options, err := demo.ParseOptions("demo", os.Args[1:], os.Stderr)
	if errors.Is(err, demo.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := demo.Run(ctx, options, startProvider, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
