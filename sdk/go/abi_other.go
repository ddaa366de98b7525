//go:build !wasm

package flowloom

import "os"

// Log writes a line to standard error. In a component it writes to Flowloom's log.
func Log(level Level, line string) { os.Stderr.WriteString(line + "\n") }
