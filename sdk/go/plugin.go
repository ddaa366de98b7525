// Package flowloom is the SDK for Flowloom plugins in Go. A plugin is a type with five methods. The program
// exports it with
//
//	func init() { flowloom.Export(&MyPlugin{}) }
//	func main() {}
//
// and sdk/go/build.sh builds the component.
package flowloom

// A Plugin computes columns of flows. The SDK keeps one State per flow.
type Plugin[State any] interface {
	// Open is called once per instance, before any event. If it returns an error, Flowloom shows the error
	// to the operator and does not load the plugin. The same options must always give the same manifest.
	Open(options *Options) (Manifest, error)
	// Init handles the first packet of a flow. The state is zero.
	Init(state *State, packet, flow Row)
	// Update handles a later packet of a flow.
	Update(state *State, packet, flow Row)
	// Expire handles the end of a flow and sets the outputs. Outputs that it does not set are null.
	Expire(state *State, flow Row, outputs *Outputs)
	// Finish handles the end of this instance, after its last flow.
	Finish()
}

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
	NeedsOneMeter  bool     // the plugin keeps state across flows; the run has one meter
}

// Export exports p as the plugin of this program.
func Export[State any](p Plugin[State]) { exported = &instance[State]{plugin: p} }

var exported interface {
	open(options *Options) (Manifest, error)
	process(events *batch, outputs *Outputs)
	finish()
}

type instance[State any] struct {
	plugin Plugin[State]
	// The states by slot. They are pointers, so that the address of a state never changes.
	states []*State
}

func (i *instance[State]) open(options *Options) (Manifest, error) { return i.plugin.Open(options) }

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
			i.plugin.Update(i.states[slot], packet, updated)
			packet.row++
			updated.row++
		case initial:
			for int(slot) >= len(i.states) {
				i.states = append(i.states, nil)
			}
			i.states[slot] = new(State)
			i.plugin.Init(i.states[slot], packet, opened)
			packet.row++
			opened.row++
		case expire:
			i.plugin.Expire(i.states[slot], expired, outputs)
			i.states[slot] = nil
			expired.row++
			outputs.row++
		default:
			panic("Flowloom gave an event of unknown kind")
		}
	}
}
