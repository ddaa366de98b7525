// The size of a flow's largest packet, and whether the source of the flow sent it.
package main

import "flowloom"

// Indexes of the packet fields and of the outputs, in the order of the manifest's lists.
const (
	ipSize = iota
	direction
)

const (
	size = iota
	bySource
)

// State is the state of a flow.
type State struct {
	size     uint64
	bySource bool
}

// Biggest is the plugin; it has no data of its own.
type Biggest struct{}

func (p *Biggest) Open(options *flowloom.Options, available flowloom.Available) (flowloom.Manifest, error) {
	return flowloom.Manifest{
		Version:     "0.1.0",
		Description: "The largest packet of a flow.",
		Packet:      []string{"ip_size", "direction"},
		Outputs: []flowloom.Output{
			{Name: "size", Type: flowloom.Integer, Description: "Largest ip_size of the flow, bytes."},
			{Name: "by_source", Type: flowloom.Boolean, Description: "Whether the flow's source sent it."},
		},
	}, nil
}

func (p *Biggest) Init(state *State, packet, flow flowloom.Row) {
	p.Update(state, packet, flow)
}

func (p *Biggest) Update(state *State, packet, _ flowloom.Row) {
	if bytes := packet.Unsigned(ipSize); bytes > state.size {
		state.size = bytes
		state.bySource = packet.Unsigned(direction) == 0
	}
}

func (p *Biggest) Expire(state *State, _ flowloom.Row, outputs *flowloom.Outputs) {
	outputs.SetInteger(size, int64(state.size))
	outputs.SetBoolean(bySource, state.bySource)
}

func (p *Biggest) Finish() {}

func init() { flowloom.Export(&Biggest{}) }

func main() {}
