// A counter of visits: every replica adds to one number in Redis and shows it
// with its own name. REDIS is Redis's host:port.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const patience = 2 * time.Second

var redis = func() string {
	if address := os.Getenv("REDIS"); address != "" {
		return address
	}
	return "redis:6379"
}()

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-healthcheck" {
		healthcheck()
	}
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		count, err := ask("INCR visits")
		if err != nil {
			log.Print(err)
			http.Error(w, "Redis does not answer; try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "visit %s, counted by %s\n", count, name)
	})
	// Alive: this process. Ready: Redis, too.
	http.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {})
	http.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if _, err := ask("PING"); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	log.Printf("counting in %s, listening on :8080", redis)
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// ask sends Redis one command and gives back its answer of one line.
func ask(command string) (string, error) {
	connection, err := net.DialTimeout("tcp", redis, patience)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(connection, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, ":") && !strings.HasPrefix(line, "+") {
		return "", fmt.Errorf("%s answers %s with %q", redis, command, line)
	}
	return line[1:], nil
}

// healthcheck asks this container's own counter, since the image has no shell.
func healthcheck() {
	client := http.Client{Timeout: patience}
	answer, err := client.Get("http://127.0.0.1:8080/livez")
	if err != nil {
		log.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		log.Fatal(answer.Status)
	}
	os.Exit(0)
}
