//go:build wasm

package flowloom

import (
	"math"
	"slices"
	"strconv"
	"unsafe"
)

// This file calls the plugin for single events. The fields of an event are columns of one row: their memory is
// the record of the packet, or the values of the event.

// record contains the packet of an event, and its single TCP flags.
var record struct {
	timeNs, deltaTimeMs                         uint64
	rawSize, ipSize, transportSize, payloadSize uint32
	srcPort, dstPort                            uint16
	direction, protocol, tcpFlags               uint8
	flags                                       [8]uint8
}

// flagNames are the packet fields of the single flags, from the lowest bit of tcp_flags on.
var flagNames = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}

// hasFlags is whether the plugin requested a single flag.
var hasFlags bool

// recordColumn returns the column of a packet field, and whether the record contains the field.
func recordColumn(name string) (column, bool) {
	at := func(tag uint8, place unsafe.Pointer) (column, bool) {
		return column{tag: tag, values: list{uint32(uintptr(place)), 1}}, true
	}
	switch name {
	case "time_ns":
		return at(u64s, unsafe.Pointer(&record.timeNs))
	case "delta_time_ms":
		return at(u64s, unsafe.Pointer(&record.deltaTimeMs))
	case "direction":
		return at(u8s, unsafe.Pointer(&record.direction))
	case "raw_size":
		return at(u32s, unsafe.Pointer(&record.rawSize))
	case "ip_size":
		return at(u32s, unsafe.Pointer(&record.ipSize))
	case "transport_size":
		return at(u32s, unsafe.Pointer(&record.transportSize))
	case "payload_size":
		return at(u32s, unsafe.Pointer(&record.payloadSize))
	case "src_port":
		return at(u16s, unsafe.Pointer(&record.srcPort))
	case "dst_port":
		return at(u16s, unsafe.Pointer(&record.dstPort))
	case "protocol":
		return at(u8s, unsafe.Pointer(&record.protocol))
	case "tcp_flags":
		return at(u8s, unsafe.Pointer(&record.tcpFlags))
	}
	if bit := slices.Index(flagNames, name); bit >= 0 {
		hasFlags = true
		return at(u8s, unsafe.Pointer(&record.flags[bit]))
	}
	return column{}, false
}

// The rows of an event, and the columns for its values in the order of the values.
var (
	packetRow                  Row
	atFirst, atLater, atEnd    Row
	atInit, atUpdate, atExpire []*column
	eventOutputs               *Outputs
	eventValues                []value
	onlyEnd                    uint32 // the length of a byte string that is the only value
)

func prepareEvents(manifest *Manifest) {
	packetRow = Row{
		columns: make([]column, len(manifest.Packet)),
		payload: &optionColumn{isSome: uint8(min(manifest.PayloadBytes, 1))},
		bytes:   &optionColumn{isSome: uint8(min(manifest.PacketBytes, 1))},
	}
	var ofPacket []*column
	for n, name := range manifest.Packet {
		var inRecord bool
		if packetRow.columns[n], inRecord = recordColumn(name); !inRecord {
			ofPacket = append(ofPacket, &packetRow.columns[n])
		}
	}
	for _, requested := range []*optionColumn{packetRow.bytes, packetRow.payload} {
		if requested.isSome == 1 {
			ofPacket = append(ofPacket, &requested.column)
		}
	}
	prepare := func(before []*column, names []string) (Row, []*column) {
		columns, places := make([]column, len(names)), slices.Clone(before)
		for n := range columns {
			places = append(places, &columns[n])
		}
		return Row{columns: columns}, places
	}
	atFirst, atInit = prepare(ofPacket, manifest.AtInit)
	atLater, atUpdate = prepare(ofPacket, manifest.AtUpdate)
	atEnd, atExpire = prepare(nil, manifest.AtExpire)
	eventOutputs = newOutputs(manifest.Outputs, 1)
	eventValues = make([]value, len(manifest.Outputs))
}

// The cases of `values`.
const (
	noValues = iota
	onlyBytes
	listed
)

// value is a value of the contract. A text or list is an address and a length.
type value struct {
	tag     uint8
	payload uint64
}

// The cases of `value` for fields. Those for outputs are the types, plus one.
const (
	nullValue     = 0
	booleanValue  = 1 + uint8(Boolean)
	integerValue  = 1 + uint8(Integer)
	floatValue    = 1 + uint8(Float)
	textValue     = 1 + uint8(Text)
	bytesValue    = 1 + uint8(Bytes)
	integersValue = 1 + uint8(Integers)
)

func pack(l list) uint64 { return uint64(l.address) | uint64(l.length)<<32 }

// readValues sets the columns for the values of an event.
func readValues(tag uint32, values list, columns []*column) {
	size := uint32(0)
	switch tag {
	case onlyBytes:
		size = 1
	case listed:
		size = values.length
	}
	if int(size) != len(columns) {
		panic("Flowloom gave " + strconv.Itoa(int(size)) + " values for an event, but the plugin requested " +
			strconv.Itoa(len(columns)))
	}
	if tag == onlyBytes {
		onlyEnd = values.length
		*columns[0] = column{texts, values, list{uint32(uintptr(unsafe.Pointer(&onlyEnd))), 1}}
		return
	}
	for n := range size {
		at := values.address + n*uint32(unsafe.Sizeof(value{}))
		payload := at + uint32(unsafe.Offsetof(value{}.payload))
		of := (*value)(address(at))
		run := list{uint32(of.payload), uint32(of.payload >> 32)}
		end := list{payload + 4, 1} // the length, which is the end of the only row
		one := list{payload, 1}
		switch of.tag {
		case booleanValue:
			*columns[n] = column{tag: u8s, values: one}
		case integerValue:
			*columns[n] = column{tag: anyInteger, values: one}
		case floatValue:
			*columns[n] = column{tag: f64s, values: one}
		case textValue, bytesValue:
			*columns[n] = column{texts, run, end}
		case integersValue:
			*columns[n] = column{integerLists, run, end}
		default:
			*columns[n] = column{tag: unreadable}
		}
	}
}

func readPacket(timeNs, deltaTimeMs uint64, direction, rawSize, ipSize, transportSize, payloadSize, srcPort, dstPort,
	protocol, tcpFlags uint32) {
	record.timeNs, record.deltaTimeMs = timeNs, deltaTimeMs
	record.rawSize, record.ipSize = rawSize, ipSize
	record.transportSize, record.payloadSize = transportSize, payloadSize
	record.srcPort, record.dstPort = uint16(srcPort), uint16(dstPort)
	record.direction, record.protocol, record.tcpFlags = uint8(direction), uint8(protocol), uint8(tcpFlags)
	if hasFlags {
		for bit := range record.flags {
			record.flags[bit] = uint8(tcpFlags>>bit) & 1
		}
	}
}

// verdict returns the case of `verdict`: keep or cut.
func verdict(cuts bool) uint32 {
	if cuts {
		return 1
	}
	return 0
}

//go:wasmexport flowloom:plugin/feature@0.1.0#init
func passInit(flow, timeNs, deltaTimeMs uint64, direction, rawSize, ipSize, transportSize, payloadSize, srcPort, dstPort,
	protocol, tcpFlags, tag, values, nValues uint32) uint32 {
	defer logPanic()
	running = initEvent
	readPacket(timeNs, deltaTimeMs, direction, rawSize, ipSize, transportSize, payloadSize, srcPort, dstPort, protocol, tcpFlags)
	readValues(tag, list{values, nValues}, atInit)
	cuts := exported.init(flow, packetRow, atFirst)
	releaseArguments()
	return verdict(cuts)
}

//go:wasmexport flowloom:plugin/feature@0.1.0#update
func passUpdate(flow, timeNs, deltaTimeMs uint64, direction, rawSize, ipSize, transportSize, payloadSize, srcPort, dstPort,
	protocol, tcpFlags, tag, values, nValues uint32) uint32 {
	defer logPanic()
	running = updateEvent
	readPacket(timeNs, deltaTimeMs, direction, rawSize, ipSize, transportSize, payloadSize, srcPort, dstPort, protocol, tcpFlags)
	readValues(tag, list{values, nValues}, atUpdate)
	cuts := exported.update(flow, packetRow, atLater)
	releaseArguments()
	return verdict(cuts)
}

// eventAnswer is the answer of passExpire.
var eventAnswer list

//go:wasmexport flowloom:plugin/feature@0.1.0#expire
func passExpire(flow uint64, tag, values, nValues uint32) unsafe.Pointer {
	defer logPanic()
	running = expireEvent
	readValues(tag, list{values, nValues}, atExpire)
	eventOutputs.reset()
	exported.expire(flow, atEnd, eventOutputs)
	releaseArguments()
	for n := range eventValues {
		eventValues[n] = outputValue(&eventOutputs.columns[n], opened.Outputs[n].Type)
	}
	eventAnswer = listOf(eventValues)
	return unsafe.Pointer(&eventAnswer)
}

// outputValue returns the only value of an output. It points to the memory of the column, which remains until the
// next event.
func outputValue(from *output, t Type) value {
	if from.valid[0] == 0 {
		return value{tag: nullValue}
	}
	tag := 1 + uint8(t)
	switch t {
	case Boolean:
		return value{tag, uint64(from.booleans[0])}
	case Integer:
		return value{tag, uint64(from.integers[0])}
	case Float:
		return value{tag, math.Float64bits(from.floats[0])}
	case Integers:
		return value{tag, pack(listOf(from.integers))}
	case Floats:
		return value{tag, pack(listOf(from.floats))}
	case Texts:
		return value{tag, pack(textsOf(from))}
	}
	return value{tag, pack(listOf(from.bytes))}
}

func textsOf(from *output) list {
	start := uint32(0)
	from.texts = from.texts[:0]
	for _, end := range from.textEnds {
		from.texts = append(from.texts, listOf(from.bytes[start:end]))
		start = end
	}
	return listOf(from.texts)
}

// listOf returns the address and length of values that something else keeps alive.
func listOf[T any](values []T) list {
	if len(values) == 0 {
		return list{}
	}
	return list{uint32(uintptr(unsafe.Pointer(&values[0]))), uint32(len(values))}
}
