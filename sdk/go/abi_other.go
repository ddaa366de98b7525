//go:build !wasm

package flowloom

import "os"

// A Level says how much a line in Flowloom's log matters.
type Level uint32

// The levels.
const (
	Error Level = iota
	Warn
	Info
	Debug
)

// Log writes a line to Flowloom's log; to standard error outside of a component.
func Log(level Level, line string) { os.Stderr.WriteString(line + "\n") }
