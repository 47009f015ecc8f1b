// A client of the registry that remembers how long each request took.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// errOver ends a worker whose time is over, between two requests.
var errOver = errors.New("time is over")

// sample is one request that was answered.
type sample struct {
	kind  string
	ended time.Time
	took  time.Duration
	bytes int
}

type client struct {
	registry string
	http     *http.Client
	over     <-chan struct{}
	samples  []sample
	buffer   []byte
	// Called after each request that was answered as it should be.
	after func(kind string)
}

// newClient makes a client with at most so many connections; nil for a client
// that nobody stops.
func newClient(registry string, connections int, over <-chan struct{}) *client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: connections,
		MaxConnsPerHost:     connections,
		DisableCompression:  true,
		IdleConnTimeout:     time.Minute,
		ReadBufferSize:      64 * kib,
		WriteBufferSize:     64 * kib,
	}
	return &client{
		registry: registry,
		http:     &http.Client{Transport: transport, Timeout: time.Minute},
		over:     over,
		buffer:   make([]byte, 64*kib),
		after:    func(string) {},
	}
}

// request sends one request and reads the answer to its end: the answer
// without its body, and how many bytes that had. Redirects are followed, and
// count as one request.
func (c *client) request(kind, method, path string, header http.Header, body []byte, wanted ...int) (*http.Response, int, error) {
	select {
	case <-c.over:
		return nil, 0, errOver
	default:
	}
	request, err := http.NewRequest(method, c.registry+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	began := time.Now()
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	size, err := io.CopyBuffer(onlyWriter{io.Discard}, answer.Body, c.buffer)
	if err != nil {
		return nil, 0, err
	}
	if !slices.Contains(wanted, answer.StatusCode) {
		return nil, 0, fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	ended := time.Now()
	c.samples = append(c.samples, sample{kind, ended, ended.Sub(began), int(size) + len(body)})
	c.after(kind)
	return answer, int(size), nil
}

// onlyWriter hides that io.Discard brings a small buffer of its own.
type onlyWriter struct{ io.Writer }
