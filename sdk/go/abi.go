//go:build wasm

package flowloom

import (
	"runtime"
	"strconv"
	"strings"
	"unsafe"
)

// This file and event.go implement the component model's canonical ABI for the world `dual-plugin` by hand. No
// bindings generator for Go can be installed from a package registry.

// arena contains the arguments of a call. The host allocates them before the call, and they are not used
// after it, so all calls share one block.
var arena struct {
	block []uint64
	used  uintptr // bytes
	full  [][]uint64
}

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	// The host never resizes an allocation, because it knows the length of each list.
	if size == 0 {
		return unsafe.Pointer(&arena)
	}
	at := (arena.used + 7) &^ 7
	if room := uintptr(len(arena.block)) * 8; at+uintptr(size) > room {
		// Keep the full block alive until the end of the call. The next call starts with the larger block.
		arena.full = append(arena.full, arena.block)
		arena.block = make([]uint64, max(2*room, 2*uintptr(size), 64<<10)/8)
		at = 0
	}
	arena.used = at + uintptr(size)
	return unsafe.Add(unsafe.Pointer(&arena.block[0]), at)
}

func releaseArguments() {
	arena.used = 0
	arena.full = nil
}

// retained keeps the results of a call alive. The host reads them before the next call.
var retained []any

func retain[T any](values []T) list {
	if len(values) == 0 {
		return list{}
	}
	retained = append(retained, values)
	return list{uint32(uintptr(unsafe.Pointer(&values[0]))), uint32(len(values))}
}

func retainText(text string) list { return retain([]byte(text)) }

func retainTexts(texts []string) list {
	lists := make([]list, len(texts))
	for n, text := range texts {
		lists[n] = retainText(text)
	}
	return retain(lists)
}

type manifestResult struct {
	isErr                       uint8
	version                     list // the text of the error if isErr is 1
	description                 list
	outputs                     list
	options                     list
	packet                      list
	payloadBytes, packetBytes   uint32
	atInit, atUpdate, atExpire  list
	hasPacketsPerFlow           uint8
	packetsPerFlow              uint32
	flowBytes                   uint32
	cuts, packed, needsOneMeter bool
}

type outputRecord struct {
	name        list
	kind        uint8
	description list
}

type optionRecord struct {
	name        list
	kind        optionType
	accepts     list
	hasDefault  bool
	byDefault   list
	description list
}

type outputColumn struct {
	values valuesVariant
	valid  list
}

// valuesVariant is a column, except that lists of texts have one more member.
type valuesVariant struct {
	tag          uint8
	values, ends list // for lists of texts: the bytes, and the ends of the texts
	listEnds     list // only for lists of texts
}

//go:wasmexport flowloom:plugin/batch-feature@0.1.0#open
func openBatches(options, nOptions, packet, nPacket, flow, nFlow, payloadBytes, packetBytes uint32) unsafe.Pointer {
	return open(list{options, nOptions}, list{packet, nPacket}, list{flow, nFlow}, payloadBytes, packetBytes)
}

//go:wasmexport flowloom:plugin/feature@0.1.0#open
func openEvents(options, nOptions, packet, nPacket, flow, nFlow, payloadBytes, packetBytes uint32) unsafe.Pointer {
	return open(list{options, nOptions}, list{packet, nPacket}, list{flow, nFlow}, payloadBytes, packetBytes)
}

func copyTexts(lists list) []string {
	var texts []string
	for _, text := range view[list](lists) {
		texts = append(texts, string(view[byte](text)))
	}
	return texts
}

func open(given, packet, flow list, payloadBytes, packetBytes uint32) unsafe.Pointer {
	defer logPanic()
	running = openEvent
	options := &Options{}
	for _, pair := range view[[2]list](given) {
		options.keys = append(options.keys, string(view[byte](pair[0])))
		options.values = append(options.values, string(view[byte](pair[1])))
		options.read = append(options.read, false)
	}
	available := Available{copyTexts(packet), copyTexts(flow), payloadBytes, packetBytes}
	releaseArguments()
	retained = nil
	manifest, err := exported.open(options, available)
	if err == nil {
		err = options.check()
	}
	if err != nil {
		return answer(manifestResult{isErr: 1, version: retainText(err.Error())})
	}
	opened = manifest
	prepareEvents(&manifest)
	outputs := make([]outputRecord, len(manifest.Outputs))
	for n, output := range manifest.Outputs {
		outputs[n] = outputRecord{retainText(output.Name), uint8(output.Type), retainText(output.Description)}
	}
	accepted := make([]optionRecord, len(options.described))
	for n, d := range options.described {
		accepted[n] = optionRecord{retainText(d.key), d.kind, retainText(d.accepts), !d.isRequired,
			retainText(d.byDefault), retainText(d.text)}
	}
	result := manifestResult{
		version:        retainText(manifest.Version),
		description:    retainText(manifest.Description),
		outputs:        retain(outputs),
		options:        retain(accepted),
		packet:         retainTexts(manifest.Packet),
		payloadBytes:   manifest.PayloadBytes,
		packetBytes:    manifest.PacketBytes,
		atInit:         retainTexts(manifest.AtInit),
		atUpdate:       retainTexts(manifest.AtUpdate),
		atExpire:       retainTexts(manifest.AtExpire),
		packetsPerFlow: manifest.PacketsPerFlow,
		flowBytes:      exported.flowBytes(manifest),
		cuts:           manifest.CutsFlows,
		needsOneMeter:  manifest.NeedsOneMeter,
	}
	if manifest.PacketsPerFlow > 0 {
		result.hasPacketsPerFlow = 1
	}
	return answer(result)
}

func answer[T any](result T) unsafe.Pointer {
	whole := []T{result}
	retained = append(retained, whole)
	return unsafe.Pointer(&whole[0])
}

//go:wasmexport flowloom:plugin/batch-feature@0.1.0#process
func process(given unsafe.Pointer) unsafe.Pointer {
	defer logPanic()
	retained = retained[:0]
	events := (*batch)(given)
	expires := 0
	for _, kind := range view[uint8](events.kinds) {
		if kind == 2 {
			expires++
		}
	}
	declared := opened.Outputs
	outputs := newOutputs(declared, expires)
	exported.process(events, outputs)
	releaseArguments()
	if expires == 0 {
		return answer(list{})
	}
	columns := make([]outputColumn, len(declared))
	for n := range columns {
		from := &outputs.columns[n]
		from.finish()
		to := &columns[n]
		to.valid = retain(from.valid)
		// The cases of `values` have the same order as the types.
		to.values.tag = uint8(declared[n].Type)
		to.values.ends = retain(from.ends)
		switch declared[n].Type {
		case Boolean:
			to.values.values = retain(from.booleans)
		case Integer, Integers:
			to.values.values = retain(from.integers)
		case Float, Floats:
			to.values.values = retain(from.floats)
		case Texts:
			to.values.values = retain(from.bytes)
			to.values.ends = retain(from.textEnds)
			to.values.listEnds = retain(from.ends)
		default:
			to.values.values = retain(from.bytes)
		}
	}
	return answer(retain(columns))
}

//go:wasmexport flowloom:plugin/batch-feature@0.1.0#finish
func finishBatches() { finish() }

//go:wasmexport flowloom:plugin/feature@0.1.0#finish
func finishEvents() { finish() }

func finish() {
	defer logPanic()
	running = finishEvent
	exported.finish()
	flushLines()
}

//go:wasmimport flowloom:plugin/log@0.1.0 write
func hostLog(level uint32, line unsafe.Pointer, length uint32)

// Log writes a line to Flowloom's log.
func Log(level Level, line string) {
	if line != "" {
		hostLog(uint32(level), unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)))
	}
}

// logPanic logs a panic, and ends the instance.
func logPanic() {
	why := recover()
	if why == nil {
		return
	}
	flushLines()
	text := "a value that is neither an error nor a text"
	switch why := why.(type) {
	case mistake, wrongOutput:
		// The text names the event.
		Log(Error, why.(error).Error()+" ("+panicLocation()+")")
		trap()
	case error:
		text = why.Error()
	case string:
		text = why
	case interface{ String() string }:
		text = why.String()
	}
	Log(Error, running.String()+" failed: panic: "+text+" ("+panicLocation()+")")
	trap()
}

// panicLocation returns the function, the file and the line of the innermost call in package main.
func panicLocation() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "main.") || !more {
			return frame.Function + ", " + frame.File + ":" + strconv.Itoa(frame.Line)
		}
	}
}
