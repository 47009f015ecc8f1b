// CPU as the kernel counts it: of processes, of the machine, and what the
// limits of the replicas' control groups held back.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Ticks of /proc a second: what Linux shows to programs everywhere.
const ticks = 100

type usage struct {
	at time.Time
	// Seconds of CPU by part.
	cpu                map[string]float64
	machine            machine
	periods, throttled int
}

// machine holds the machine's own counters, in seconds of all its cores.
type machine struct{ busy, idle, steal float64 }

func (m machine) since(before machine, seconds float64) map[string]float64 {
	busy, idle, steal := m.busy-before.busy, m.idle-before.idle, m.steal-before.steal
	return map[string]float64{
		"cores": (busy + idle + steal) / seconds,
		"busy":  busy / seconds,
		"idle":  idle / (busy + idle + steal),
		"steal": steal / (busy + idle + steal),
	}
}

func (l load) usage() (usage, error) {
	var rusage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &rusage); err != nil {
		return usage{}, err
	}
	measured := usage{
		at:  time.Now(),
		cpu: map[string]float64{"client": seconds(rusage.Utime) + seconds(rusage.Stime)},
	}
	for part, list := range l.pids {
		for _, pid := range strings.Split(list, ",") {
			used, err := processCPU(pid)
			if err != nil {
				return usage{}, err
			}
			measured.cpu[part] += used
		}
	}
	var err error
	if measured.machine, err = machineCPU(); err != nil {
		return usage{}, err
	}
	for _, file := range strings.FieldsFunc(l.cgroups, func(r rune) bool { return r == ',' }) {
		text, err := os.ReadFile(file)
		if err != nil {
			return usage{}, err
		}
		for _, line := range strings.Split(string(text), "\n") {
			name, value, _ := strings.Cut(line, " ")
			count, _ := strconv.Atoi(value)
			switch name {
			case "nr_periods":
				measured.periods += count
			case "nr_throttled":
				measured.throttled += count
			}
		}
	}
	return measured, nil
}

func seconds(t syscall.Timeval) float64 {
	return float64(t.Sec) + float64(t.Usec)/1e6
}

// processCPU of all threads: user and system, fields 14 and 15 of proc(5).
func processCPU(pid string) (float64, error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%s/stat has %d fields", pid, len(fields))
	}
	return number(fields[11]) + number(fields[12]), nil
}

// machineCPU from the first line of /proc/stat.
func machineCPU() (machine, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machine{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	// cpu user nice system idle iowait irq softirq steal
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return machine{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	return machine{
		busy:  number(fields[1]) + number(fields[2]) + number(fields[3]) + number(fields[6]) + number(fields[7]),
		idle:  number(fields[4]) + number(fields[5]),
		steal: number(fields[8]),
	}, nil
}

func number(text string) float64 {
	count, _ := strconv.ParseFloat(text, 64)
	return count / ticks
}
