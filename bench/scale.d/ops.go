// What the object store is asked for by one pull and by one push: a proxy in
// front of it counts.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An upload of so many bytes needs several parts.
const partsLayer = 64 * kib * kib

// counter passes requests to the store, and counts them as its owner would
// charge them.
type counter struct {
	store   *httputil.ReverseProxy
	running atomic.Int64
	lock    sync.Mutex
	counts  map[string]int
	touched time.Time
}

func newCounter(store string) *counter {
	proxy := &httputil.ReverseProxy{
		// The signature covers the host that the replica named: it stays.
		Director: func(request *http.Request) {
			request.URL.Scheme, request.URL.Host = "http", store
			request.Header["X-Forwarded-For"] = nil
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
	return &counter{store: proxy, counts: map[string]int{}}
}

func (c *counter) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	c.running.Add(1)
	defer c.running.Add(-1)
	c.lock.Lock()
	c.counts[operation(request)]++
	c.touched = time.Now()
	c.lock.Unlock()
	c.store.ServeHTTP(answer, request)
}

// operation names a request as Amazon's price list does, and what it is for.
func operation(request *http.Request) string {
	query := request.URL.Query()
	path := request.URL.Path
	if query.Has("list-type") {
		return "LIST"
	}
	if query.Has("delete") {
		// One request for many objects; no more is charged than for one.
		return "DELETE"
	}
	operation := request.Method
	if request.Header.Get("X-Amz-Copy-Source") != "" {
		operation = "COPY"
	}
	switch {
	case strings.Contains(path, "/_uploads/"):
		return operation + " upload"
	case strings.HasSuffix(path, "/link"):
		return operation + " link"
	default:
		return operation + " data"
	}
}

// take returns what was counted since the last call, once the store is quiet:
// a replica may tidy up after it has answered.
func (c *counter) take() map[string]int {
	deadline := time.Now().Add(10 * time.Second)
	for {
		c.lock.Lock()
		quiet := c.running.Load() == 0 && time.Since(c.touched) > 50*time.Millisecond
		if quiet || time.Now().After(deadline) {
			taken := c.counts
			c.counts = map[string]int{}
			c.lock.Unlock()
			return taken
		}
		c.lock.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
}

// countOperations prints JSON: by sequence and request, how many operations of
// which kind one such request costs.
func countOperations(registry, store, listen string, rounds int) error {
	counter := newCounter(store)
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, counter) }()
	if err := answers(registry); err != nil {
		return err
	}
	counter.take()

	client := newClient(registry, 1, nil)
	source := rand.New(rand.NewSource(time.Now().UnixNano()))
	images := pulledImages()
	fresh := newPushed(0)
	result := map[string]any{}
	for _, sequence := range []struct {
		name   string
		rounds int
		run    func(round int) error
	}{
		{"pull", rounds, func(round int) error { return client.pull(images[round%len(images)]) }},
		{"push", rounds, func(int) error { return client.push(fresh.next()) }},
		{"push of 64 MiB", 3, func(int) error {
			return client.push(newImage("pushed/large", "v1", random(source, configSize), random(source, partsLayer)))
		}},
	} {
		steps := map[string]map[string]int{}
		client.after = func(kind string) {
			if steps[kind] == nil {
				steps[kind] = map[string]int{}
			}
			steps[kind]["requests"]++
			for operation, count := range counter.take() {
				steps[kind][operation] += count
			}
		}
		for round := range sequence.rounds {
			if err := sequence.run(round); err != nil {
				return fmt.Errorf("%s: %w", sequence.name, err)
			}
		}
		result[sequence.name] = map[string]any{"rounds": sequence.rounds, "steps": steps}
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// answers waits until the registry does.
func answers(registry string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		answer, err := http.Get(registry + "/v2/")
		if err == nil {
			answer.Body.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the registry does not answer: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
