// The load generator of bench/scale: Go's standard library and nothing else.
module wharf/bench/scale

go 1.22
