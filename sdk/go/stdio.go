//go:build wasm

package flowloom

import "unsafe"

// What the program writes to stdout and stderr becomes lines of Flowloom's log. wasi.wat contains the functions.

// lines has room for the lines that are not complete.
var lines [3 * 1024]byte

const exitText = "the plugin called os.Exit, but a plugin is not a process; panic to end the instance"

//go:wasmimport wasi_snapshot_preview1 flowloom_lines
func setLines(lines, exit unsafe.Pointer, exitSize uint32)

//go:wasmimport wasi_snapshot_preview1 flowloom_flush
func flushLines()

//go:wasmimport wasi_snapshot_preview1 flowloom_trap
func trap()

func init() {
	setLines(unsafe.Pointer(&lines), unsafe.Pointer(unsafe.StringData(exitText)), uint32(len(exitText)))
}
