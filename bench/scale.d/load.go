// One measured run: so many clients, each one request after the other, and
// what everybody's CPU did meanwhile.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

type load struct {
	registry, mix  string
	connections    int
	warmup, window time.Duration
	labels, pids   pairs
	cgroups        string
}

// measure runs the load and prints one line of JSON.
func (l load) measure() error {
	images, large := pulledImages(), largeImage()
	over := make(chan struct{})
	clients := make([]*client, l.connections)
	var workers sync.WaitGroup
	var failures failures
	for n := range clients {
		client := newClient(l.registry, 1, over)
		clients[n] = client
		workers.Add(1)
		go func() {
			defer workers.Done()
			// Not all at the same step of the mix.
			time.Sleep(l.warmup * time.Duration(n) / time.Duration(l.connections))
			fresh := newPushed(n)
			for turn := n; ; turn++ {
				var err error
				switch l.mix {
				case "push":
					err = client.push(fresh.next())
				case "large":
					err = client.pullLayers(large)
				default:
					err = client.pull(images[turn%len(images)])
				}
				if errors.Is(err, errOver) {
					return
				}
				failures.note(err)
			}
		}()
	}
	time.Sleep(l.warmup)
	before, err := l.usage()
	if err != nil {
		return err
	}
	time.Sleep(l.window)
	after, err := l.usage()
	if err != nil {
		return err
	}
	close(over)
	workers.Wait()
	return l.report(clients, before, after, &failures)
}

func (l load) report(clients []*client, before, after usage, failures *failures) error {
	var all []float64
	kinds := map[string][]float64{}
	bytes := 0
	for _, client := range clients {
		for _, sample := range client.samples {
			if sample.ended.Before(before.at) || sample.ended.After(after.at) {
				continue
			}
			milliseconds := float64(sample.took.Microseconds()) / 1000
			all = append(all, milliseconds)
			kinds[sample.kind] = append(kinds[sample.kind], milliseconds)
			bytes += sample.bytes
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no request was answered in %s: %s", l.window, failures.first)
	}
	seconds := after.at.Sub(before.at).Seconds()
	requests := float64(len(all))
	byKind := map[string]any{}
	for kind, took := range kinds {
		byKind[kind] = map[string]any{"requests": len(took), "p50_ms": quantile(took, 0.5), "p99_ms": quantile(took, 0.99)}
	}
	cpu, per1000 := map[string]float64{}, map[string]float64{}
	parts := 0.0
	for part, used := range after.cpu {
		cpu[part] = (used - before.cpu[part]) / seconds
		per1000[part] = (used - before.cpu[part]) / requests * 1000
		parts += cpu[part]
	}
	machine := after.machine.since(before.machine, seconds)
	machine["others"] = max(0, machine["busy"]-parts)
	result := map[string]any{
		"mix":         l.mix,
		"connections": l.connections,
		"seconds":     seconds,
		"requests":    len(all),
		"rate":        requests / seconds,
		"mib_rate":    float64(bytes) / seconds / kib / kib,
		"p50_ms":      quantile(all, 0.5),
		"p99_ms":      quantile(all, 0.99),
		"kinds":       byKind,
		"failures":    failures.count,
		"cores":       cpu,
		"cpu_s_1000":  per1000,
		"machine":     machine,
		"periods":     after.periods - before.periods,
		"throttled":   after.throttled - before.throttled,
	}
	for name, value := range l.labels {
		result[name] = value
	}
	if failures.first != "" {
		fmt.Fprintf(os.Stderr, "scale: %d failed, the first: %s\n", failures.count, failures.first)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// quantile of some values, which it sorts.
func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[int(q*float64(len(values)-1))]
}

// failures that don't end a run.
type failures struct {
	lock  sync.Mutex
	count int
	first string
}

func (f *failures) note(err error) {
	if err == nil {
		return
	}
	f.lock.Lock()
	f.count++
	if f.first == "" {
		f.first = strings.TrimSpace(err.Error())
	}
	f.lock.Unlock()
	// A server that refuses at once would be asked as fast as a client can.
	time.Sleep(100 * time.Millisecond)
}
