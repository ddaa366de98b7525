//go:build !wasm

package flowloom

import "os"

// Log writes a line to Flowloom's log; to standard error outside of a component.
func Log(level Level, line string) { os.Stderr.WriteString(line + "\n") }
