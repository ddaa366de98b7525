// Package flowloom is for plugins of Flowloom in Go: a type with five methods, exported by
//
//	func init() { flowloom.Export(&MyPlugin{}) }
//	func main() {}
//
// and made a component by sdk/go/build.sh.
package flowloom

// A Plugin keeps a State of each flow.
type Plugin[State any] interface {
	// Open is called once, before any event. The operator reads the error, and the plugin is not
	// loaded. The same options must give the same manifest.
	Open(options *Options) (Manifest, error)
	// Init sees the first packet of a flow; state is zero.
	Init(state *State, packet, flow Row)
	// Update sees a later packet of a flow.
	Update(state *State, packet, flow Row)
	// Expire sees the end of a flow, and sets the outputs. What it does not set is null.
	Expire(state *State, flow Row, outputs *Outputs)
	// Finish is called after the last flow of this instance.
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
	Bytes // written in hexadecimal
	Integers
	Floats
	JSON // a text that is one JSON value
)

// An Output is a column that a plugin adds to every flow.
type Output struct {
	Name        string // [a-z][a-z0-9_]{0,31}
	Type        Type
	Description string // one sentence for people, with the unit
}

// A Manifest says what a plugin adds and what it asks for. Names of fields are those of `flowloom
// fields`.
type Manifest struct {
	Version        string
	Description    string // one sentence for people: what the plugin computes
	Outputs        []Output
	Packet         []string // fields of each packet
	AtInit         []string // fields of the flow at its first packet
	AtUpdate       []string // fields of the flow at every later packet: they cost at each
	AtExpire       []string // fields of the flow at its end
	PayloadBytes   uint32   // so many bytes of each packet's transport payload
	PacketBytes    uint32   // so many bytes of each packet from its IP header on
	PacketsPerFlow uint32   // no update after so many packets of a flow; 0 is no bound
	NeedsOneMeter  bool     // keeps state across flows
}

// Export makes p the plugin of this program.
func Export[State any](p Plugin[State]) { exported = &instance[State]{plugin: p} }

var exported interface {
	open(options *Options) (Manifest, error)
	process(events *batch, outputs *Outputs)
	finish()
}

type instance[State any] struct {
	plugin Plugin[State]
	// One by slot. Pointers, so that a state stays where it is.
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
			panic("Flowloom gave an event of an unknown kind")
		}
	}
}
