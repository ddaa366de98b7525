// Count, mean and spread of a flow's packet sizes, and the entropy of its first payload bytes:
// plugins/first_bytes_stats in Go.
package main

import (
	"math"

	"flowloom"
)

// The most payload bytes that it can be told to keep of a flow.
const mostBytes = 4096

// What it sees of each packet, and what it adds to a flow, by the place in the manifest's lists.
const ipSize = 0

const (
	count = iota
	mean
	stddev
	bytes
	entropy
)

// State is what it keeps of a flow.
type State struct {
	count   int64
	mean    float64
	squares float64 // sum of the squared differences from the mean
	first   []byte
}

// FirstBytesStats is the plugin.
type FirstBytesStats struct {
	most int // payload bytes that count
}

func (p *FirstBytesStats) Open(options *flowloom.Options) (flowloom.Manifest, error) {
	n, err := options.Integer("n", 64, 1, mostBytes)
	p.most = int(n)
	return flowloom.Manifest{
		Version:      "0.1.0",
		Description:  "Packet sizes, and the entropy of a flow's first payload bytes.",
		Packet:       []string{"ip_size"},
		PayloadBytes: uint32(n),
		Outputs: []flowloom.Output{
			{Name: "count", Type: flowloom.Integer, Description: "Packets of the flow."},
			{Name: "mean", Type: flowloom.Float, Description: "Mean of their ip_size, bytes."},
			{Name: "stddev", Type: flowloom.Float, Description: "Sample standard deviation of their ip_size, bytes; 0 for one packet."},
			{Name: "bytes", Type: flowloom.Integer, Description: "Payload bytes that the entropy is of."},
			{Name: "entropy", Type: flowloom.Float, Description: "Shannon entropy of the first payload bytes, bits a byte; null without payload."},
		},
	}, err
}

func (p *FirstBytesStats) Init(state *State, packet, flow flowloom.Row) {
	p.Update(state, packet, flow)
}

func (p *FirstBytesStats) Update(state *State, packet, _ flowloom.Row) {
	size := float64(packet.Unsigned(ipSize))
	off := size - state.mean
	state.count++
	state.mean += off / float64(state.count)
	state.squares += off * (size - state.mean)

	payload := packet.Payload()
	state.first = append(state.first, payload[:min(p.most-len(state.first), len(payload))]...)
}

func (p *FirstBytesStats) Expire(state *State, _ flowloom.Row, outputs *flowloom.Outputs) {
	outputs.Integer(count, state.count)
	outputs.Float(mean, state.mean)
	spread := 0.0
	if state.count > 1 {
		spread = math.Sqrt(state.squares / float64(state.count-1))
	}
	outputs.Float(stddev, spread)
	outputs.Integer(bytes, int64(len(state.first)))
	if len(state.first) > 0 {
		outputs.Float(entropy, shannon(state.first))
	}
}

func (p *FirstBytesStats) Finish() {}

// Byte values are added up in their order: sums of floats depend on it.
func shannon(bytes []byte) float64 {
	var counts [256]int
	for _, b := range bytes {
		counts[b]++
	}
	sum := 0.0
	for _, count := range counts {
		if count > 0 {
			share := float64(count) / float64(len(bytes))
			sum -= share * math.Log2(share)
		}
	}
	return sum
}

func init() { flowloom.Export(&FirstBytesStats{}) }

func main() {}
