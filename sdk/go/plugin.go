// Package flowloom is the SDK for Flowloom plugins in Go. A plugin is a type with the methods of Plugin. The program
// exports it with
//
//	func init() { flowloom.Export(&MyPlugin{}) }
//	func main() {}
//
// and sdk/go/build.sh builds the component.
package flowloom

import (
	"errors"
	"math"
	"slices"
	"unsafe"
)

// A Plugin computes columns of flows. The SDK keeps one State per flow.
type Plugin[State any] interface {
	// Open is called once per instance, before any event. If it returns an error, Flowloom shows the error
	// to the operator and does not load the plugin. The same options and available fields must always give the
	// same manifest.
	Open(options *Options, available Available) (Manifest, error)
	// Init handles the first packet of a flow. The state is zero.
	Init(state *State, packet, flow Row)
	// Update handles a later packet of a flow.
	Update(state *State, packet, flow Row)
	// Expire handles the end of a flow and sets the outputs. Outputs that it does not set are null.
	Expire(state *State, flow Row, outputs *Outputs)
	// Finish handles the end of this instance, after its last flow.
	Finish()
}

// A Cutter is a plugin that ends flows early, if its manifest sets CutsFlows.
type Cutter[State any] interface {
	// Cuts returns whether the flow ends with the packet that the plugin just handled. It is called after each
	// Init and Update. The expiration_id of a cut flow is -1, and the next packet starts a new flow.
	Cuts(state *State) bool
}

// Available is what the plugin may request in this run: fields that exist and that the operator granted. Flowloom
// rejects a plugin that requests anything else.
type Available struct {
	Packet       []string // names of packet fields
	Flow         []string // names of flow fields
	PayloadBytes uint32   // the maximum of Manifest.PayloadBytes; 0 if no payload was granted
	PacketBytes  uint32   // the maximum of Manifest.PacketBytes; 0 if no bytes of packets were granted
}

// HasPacketField returns whether the plugin may request this packet field.
func (a Available) HasPacketField(name string) bool { return slices.Contains(a.Packet, name) }

// HasFlowField returns whether the plugin may request this flow field.
func (a Available) HasFlowField(name string) bool { return slices.Contains(a.Flow, name) }

// A Type is the type of an output.
type Type uint8

// The types of outputs.
const (
	Boolean Type = iota
	Integer
	Float
	Text
	Bytes // text formats write them in hexadecimal
	Integers
	Floats
	Texts
	JSON // text that is one JSON value
)

// An Output is a column that a plugin adds to every flow.
type Output struct {
	Name        string // [a-z][a-z0-9_]{0,31}
	Type        Type
	Description string // one sentence for people, with the unit of the value
}

// A Manifest declares the columns that a plugin adds and the data that it requests. `flowloom fields`
// prints the names of the fields.
type Manifest struct {
	Version        string
	Description    string // one sentence for people that describes what the plugin computes
	Outputs        []Output
	Packet         []string // packet fields
	AtInit         []string // flow fields at the first packet
	AtUpdate       []string // flow fields at every later packet; they cost time for every packet
	AtExpire       []string // flow fields at the end of the flow
	PayloadBytes   uint32   // number of bytes of each packet's transport payload
	PacketBytes    uint32   // number of bytes of each packet, from its IP header on
	PacketsPerFlow uint32   // no update after this number of packets of a flow; 0 is no limit
	AllocatedBytes uint32   // number of bytes that the plugin allocates for the state of a flow
	CutsFlows      bool     // the plugin is a Cutter; an event then costs more
	NeedsOneMeter  bool     // the plugin keeps state across flows; the run has one meter
}

// Export exports p as the plugin of this program.
func Export[State any](p Plugin[State]) { exported = &instance[State]{plugin: p} }

var exported interface {
	open(options *Options, available Available) (Manifest, error)
	flowBytes(manifest Manifest) uint32
	process(events *batch, outputs *Outputs)
	// The methods for single events. init and update return whether the flow ends.
	init(flow uint64, packet, fields Row) bool
	update(flow uint64, packet, fields Row) bool
	expire(flow uint64, fields Row, outputs *Outputs)
	finish()
}

type instance[State any] struct {
	plugin Plugin[State]
	cutter Cutter[State] // nil if the plugin does not cut flows
	// The states by slot, in batches, and by flow id. They are pointers, so that the address of a state never
	// changes.
	states []*State
	ids    map[uint64]*State
}

func (i *instance[State]) open(options *Options, available Available) (Manifest, error) {
	manifest, err := i.plugin.Open(options, available)
	if err == nil && manifest.CutsFlows {
		var cuts bool
		if i.cutter, cuts = i.plugin.(Cutter[State]); !cuts {
			err = errors.New("the manifest sets CutsFlows, but the plugin has no method Cuts")
		}
	}
	i.ids = map[uint64]*State{}
	return manifest, err
}

// flowBytes returns the bytes of memory that a flow needs. Go collects garbage when the memory in use has doubled.
func (i *instance[State]) flowBytes(manifest Manifest) uint32 {
	// A slot is a pointer. An entry of the map has an id, a pointer and a control byte, and the map is at least
	// 7/16 full after it grew.
	table := uint64(8)
	if manifest.CutsFlows {
		table = (8 + 8 + 1) * 16 / 7
	}
	bytes := 2 * (uint64(unsafe.Sizeof(*new(State))) + uint64(manifest.AllocatedBytes) + table)
	return uint32(min(bytes, math.MaxUint32))
}

func (i *instance[State]) init(flow uint64, packet, fields Row) bool {
	state := new(State)
	i.ids[flow] = state
	i.plugin.Init(state, packet, fields)
	return i.cutter != nil && i.cutter.Cuts(state)
}

func (i *instance[State]) update(flow uint64, packet, fields Row) bool {
	state := i.ids[flow]
	i.plugin.Update(state, packet, fields)
	return i.cutter != nil && i.cutter.Cuts(state)
}

func (i *instance[State]) expire(flow uint64, fields Row, outputs *Outputs) {
	i.plugin.Expire(i.ids[flow], fields, outputs)
	delete(i.ids, flow)
}

func (i *instance[State]) finish() { i.plugin.Finish() }

func (i *instance[State]) process(events *batch, outputs *Outputs) {
	const (
		initial = iota
		update
		expire
	)
	kinds := view[uint8](events.kinds)
	slots := view[uint32](events.slots.values)
	packet := Row{columns: view[column](events.packets), payload: &events.payload, bytes: &events.bytes}
	opened := Row{columns: view[column](events.opened)}
	updated := Row{columns: view[column](events.updated)}
	expired := Row{columns: view[column](events.expired)}
	for n, kind := range kinds {
		slot := slots[n]
		switch kind {
		case update:
			running = updateEvent
			i.plugin.Update(i.states[slot], packet, updated)
			packet.row++
			updated.row++
		case initial:
			running = initEvent
			for int(slot) >= len(i.states) {
				i.states = append(i.states, nil)
			}
			i.states[slot] = new(State)
			i.plugin.Init(i.states[slot], packet, opened)
			packet.row++
			opened.row++
		case expire:
			running = expireEvent
			i.plugin.Expire(i.states[slot], expired, outputs)
			i.states[slot] = nil
			expired.row++
			outputs.row++
		default:
			panic("Flowloom gave an event of unknown kind")
		}
	}
}
