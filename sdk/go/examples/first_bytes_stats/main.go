// Count, mean and standard deviation of a flow's packet sizes, and the entropy of its first payload
// bytes. The Go version of plugins/first_bytes_stats.
package main

import (
	"math"

	"flowloom"
)

// The maximum of the option `n`: payload bytes to keep per flow.
const mostBytes = 4096

// Indexes of the packet fields and of the outputs, in the order of the manifest's lists.
const ipSize = 0

const (
	count = iota
	mean
	stddev
	bytes
	entropy
)

// State is the state of a flow.
type State struct {
	count   int64
	mean    float64
	squares float64 // sum of the squared differences from the mean
	first   []byte
}

// FirstBytesStats is the plugin.
type FirstBytesStats struct {
	most int // payload bytes to use
}

func (p *FirstBytesStats) Open(options *flowloom.Options, _ flowloom.Available) (flowloom.Manifest, error) {
	n, err := options.Integer("n", "Number of payload bytes per flow to use for the entropy.", 64, 1, mostBytes)
	p.most = int(n)
	return flowloom.Manifest{
		Version:        "0.1.0",
		Description:    "Packet sizes, and the entropy of a flow's first payload bytes.",
		Packet:         []string{"ip_size"},
		PayloadBytes:   uint32(n),
		AllocatedBytes: uint32(2 * n), // the capacity of a slice may exceed its length
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
	outputs.SetInteger(count, state.count)
	outputs.SetFloat(mean, state.mean)
	deviation := 0.0
	if state.count > 1 {
		deviation = math.Sqrt(state.squares / float64(state.count-1))
	}
	outputs.SetFloat(stddev, deviation)
	outputs.SetInteger(bytes, int64(len(state.first)))
	if len(state.first) > 0 {
		outputs.SetFloat(entropy, shannon(state.first))
	}
}

func (p *FirstBytesStats) Finish() {}

// shannon sums in the order of the byte values, because the result of a float sum depends on the order.
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
