// Command scale drives a registry for bench/scale: `load` measures a mix of
// requests, `seed` pushes what the pulls need, `ops` counts what the object
// store is asked for.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// pairs collects a flag that is given several times as NAME=VALUE.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("expected NAME=VALUE, not %q", text)
	}
	p[name] = value
	return nil
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: scale load|seed|ops FLAGS"))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	registry := flags.String("registry", "", "where the registry or its balancer listens, `URL`")
	labels, pids := pairs{}, pairs{}
	run := load{labels: labels, pids: pids}
	flags.Var(labels, "label", "`NAME=VALUE`, repeated in the result")
	flags.Var(pids, "pids", "`PART=PID,PID`: whose CPU is measured")
	flags.StringVar(&run.mix, "mix", "pull", "`pull`, push or large")
	flags.IntVar(&run.connections, "connections", 64, "clients, each with one request at a time")
	flags.DurationVar(&run.warmup, "warmup", 5*time.Second, "not measured: the clients begin one after the other")
	flags.DurationVar(&run.window, "window", 10*time.Second, "measured")
	flags.StringVar(&run.cgroups, "cgroups", "", "the replicas' cpu.stat `FILES`, with commas between")
	store := flags.String("store", "", "ops: where the object store listens, `HOST:PORT`")
	listen := flags.String("listen", "", "ops: where the replica finds it, `HOST:PORT`")
	rounds := flags.Int("rounds", 2*images, "ops: how many of each are counted; each image is pulled twice")
	_ = flags.Parse(os.Args[2:])

	var err error
	switch os.Args[1] {
	case "load":
		run.registry = *registry
		err = run.measure()
	case "seed":
		err = seed(*registry)
	case "ops":
		err = countOperations(*registry, *store, *listen, *rounds)
	default:
		err = fmt.Errorf("no such command: %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "scale:", err)
	os.Exit(1)
}
