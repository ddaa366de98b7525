// plugins/slicer in Go: ends a flow after a number of packets.
package main

import (
	"math"

	"flowloom"
)

const (
	packets = iota
	sliced
)

// Slicer is the plugin. The state of a flow is its number of packets.
type Slicer struct {
	limit int64
}

func (p *Slicer) Open(options *flowloom.Options, _ flowloom.Available) (flowloom.Manifest, error) {
	var err error
	p.limit, err = options.Integer("limit", "Packets after which a flow ends.", 20, 1, math.MaxInt64)
	return flowloom.Manifest{
		Version:     "0.1.0",
		Description: "Ends a flow after a number of packets.",
		CutsFlows:   true,
		Outputs: []flowloom.Output{
			{Name: "packets", Type: flowloom.Integer, Description: "Packets of the flow."},
			{Name: "sliced", Type: flowloom.Boolean, Description: "Whether the flow ended because it had `limit` packets."},
		},
	}, err
}

func (p *Slicer) Init(state *int64, packet, flow flowloom.Row) { *state = 1 }

func (p *Slicer) Update(state *int64, packet, flow flowloom.Row) { *state++ }

func (p *Slicer) Cuts(state *int64) bool { return *state >= p.limit }

func (p *Slicer) Expire(state *int64, _ flowloom.Row, outputs *flowloom.Outputs) {
	outputs.SetInteger(packets, *state)
	outputs.SetBoolean(sliced, *state >= p.limit)
}

func (p *Slicer) Finish() {}

func init() { flowloom.Export(&Slicer{}) }

func main() {}
