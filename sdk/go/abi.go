//go:build wasm

package flowloom

import (
	"runtime"
	"strconv"
	"unsafe"
)

// The component model's canonical ABI of the world `batch-plugin`, by hand: Go has no generator of
// bindings that could be installed from a package registry.

// The host asks for memory before each call, for its arguments, and no more after it: one block serves
// all calls.
var arena struct {
	block []uint64
	used  uintptr // bytes
	full  [][]uint64
}

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	// Sizes never change: lists are of known length.
	if size == 0 {
		return unsafe.Pointer(&arena)
	}
	at := (arena.used + 7) &^ 7
	if room := uintptr(len(arena.block)) * 8; at+uintptr(size) > room {
		// What was given out stays; the next call begins with the larger block.
		arena.full = append(arena.full, arena.block)
		arena.block = make([]uint64, max(2*room, 2*uintptr(size), 64<<10)/8)
		at = 0
	}
	arena.used = at + uintptr(size)
	return unsafe.Add(unsafe.Pointer(&arena.block[0]), at)
}

func done() {
	arena.used = 0
	arena.full = nil
}

// What the host reads after a call, until the next one.
var kept []any

func keep[T any](values []T) list {
	if len(values) == 0 {
		return list{}
	}
	kept = append(kept, values)
	return list{uint32(uintptr(unsafe.Pointer(&values[0]))), uint32(len(values))}
}

func keepText(text string) list { return keep([]byte(text)) }

func keepTexts(texts []string) list {
	lists := make([]list, len(texts))
	for n, text := range texts {
		lists[n] = keepText(text)
	}
	return keep(lists)
}

type manifestResult struct {
	isErr                       uint8
	version                     list // the error's text where isErr
	description                 list
	outputs                     list
	packet                      list
	payloadBytes, packetBytes   uint32
	atInit, atUpdate, atExpire  list
	hasPacketsPerFlow           uint8
	packetsPerFlow              uint32
	cuts, packed, needsOneMeter bool
}

type outputRecord struct {
	name        list
	kind        uint8
	description list
}

type outputColumn struct {
	values column
	valid  list
}

var declared []Output

//go:wasmexport flowloom:plugin/batch-feature@0.1.0#open
func open(given unsafe.Pointer, length uint32) unsafe.Pointer {
	defer told("open")
	options := &Options{}
	for _, pair := range view[[2]list](list{uint32(uintptr(given)), length}) {
		options.keys = append(options.keys, string(view[byte](pair[0])))
		options.values = append(options.values, string(view[byte](pair[1])))
		options.read = append(options.read, false)
	}
	done()
	kept = nil
	manifest, err := exported.open(options)
	if err == nil {
		err = options.check()
	}
	if err != nil {
		return answer(manifestResult{isErr: 1, version: keepText(err.Error())})
	}
	declared = manifest.Outputs
	outputs := make([]outputRecord, len(declared))
	for n, output := range declared {
		outputs[n] = outputRecord{keepText(output.Name), uint8(output.Type), keepText(output.Description)}
	}
	result := manifestResult{
		version:        keepText(manifest.Version),
		description:    keepText(manifest.Description),
		outputs:        keep(outputs),
		packet:         keepTexts(manifest.Packet),
		payloadBytes:   manifest.PayloadBytes,
		packetBytes:    manifest.PacketBytes,
		atInit:         keepTexts(manifest.AtInit),
		atUpdate:       keepTexts(manifest.AtUpdate),
		atExpire:       keepTexts(manifest.AtExpire),
		packetsPerFlow: manifest.PacketsPerFlow,
		needsOneMeter:  manifest.NeedsOneMeter,
	}
	if manifest.PacketsPerFlow > 0 {
		result.hasPacketsPerFlow = 1
	}
	return answer(result)
}

func answer[T any](result T) unsafe.Pointer {
	whole := []T{result}
	kept = append(kept, whole)
	return unsafe.Pointer(&whole[0])
}

//go:wasmexport flowloom:plugin/batch-feature@0.1.0#process
func process(given unsafe.Pointer) unsafe.Pointer {
	defer told("a batch")
	kept = kept[:0]
	events := (*batch)(given)
	expires := 0
	for _, kind := range view[uint8](events.kinds) {
		if kind == 2 {
			expires++
		}
	}
	outputs := newOutputs(declared, expires)
	exported.process(events, outputs)
	done()
	if expires == 0 {
		return answer(list{})
	}
	columns := make([]outputColumn, len(declared))
	for n := range columns {
		from := &outputs.columns[n]
		from.finish()
		to := &columns[n]
		to.valid = keep(from.valid)
		// The cases of `values` have the order of the types.
		to.values.tag = uint8(declared[n].Type)
		to.values.ends = keep(from.ends)
		switch declared[n].Type {
		case Boolean:
			to.values.values = keep(from.booleans)
		case Integer, Integers:
			to.values.values = keep(from.integers)
		case Float, Floats:
			to.values.values = keep(from.floats)
		default:
			to.values.values = keep(from.bytes)
		}
	}
	return answer(keep(columns))
}

//go:wasmexport flowloom:plugin/batch-feature@0.1.0#finish
func finish() {
	defer told("finish")
	exported.finish()
}

//go:wasmimport flowloom:plugin/log@0.1.0 write
func hostLog(level uint32, line unsafe.Pointer, length uint32)

// Log writes a line to Flowloom's log.
func Log(level Level, line string) {
	if line != "" {
		hostLog(uint32(level), unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)))
	}
}

// told says in the log why a plugin panics: what Go prints goes nowhere.
func told(where string) {
	why := recover()
	if why == nil {
		return
	}
	text := "panic"
	switch why := why.(type) {
	case error:
		text = why.Error()
	case string:
		text = why
	}
	Log(Error, text+" in "+where+" ("+place()+")")
	panic(why)
}

// place is the innermost call that is not of Go's runtime or of this package.
func place() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		frame, more := frames.Next()
		if name := frame.Function; len(name) > 5 && name[:5] == "main." || !more {
			return frame.File + ":" + strconv.Itoa(frame.Line)
		}
	}
}
