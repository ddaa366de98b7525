// Makes the mistakes of an author. The option `mistake` selects one. mistakes.py builds it, and compares what Flowloom
// writes.
//
// The compiler finds `misspelt_key`, `misspelt_method`, `wrong_type_float` and `too_large`. `not_a_number` does not
// exist: Go converts NaN to some integer. A panic takes the place of an exception.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"flowloom"
)

const (
	ipSize = iota
	direction
	nPacket
)

const nFlow = 1

const (
	v = iota
	t
	j
	nOutputs
)

// State is the state of a flow.
type State struct {
	packets int64
	names   [][]byte
}

// Mistakes is the plugin.
type Mistakes struct {
	mistake    string
	hasPrinted bool
}

func (p *Mistakes) is(name string) bool { return p.mistake == name }

func (p *Mistakes) Open(options *flowloom.Options, _ flowloom.Available) (flowloom.Manifest, error) {
	p.mistake = options.Text("mistake", "The mistake to make.", "", "a name")
	if err := options.Require("mistake"); err != nil {
		return flowloom.Manifest{}, err
	}
	packet, atExpire := []string{"ip_size", "direction"}, []string{"bidirectional_bytes"}
	if p.is("unknown_packet_field") { // mistake: unknown_packet_field
		packet = append(packet, "ip_siz")
	}
	if p.is("unknown_flow_field") { // mistake: unknown_flow_field
		atExpire = append(atExpire, "bidirectional_byte")
	}
	if p.is("exception_in_open") { // mistake: exception_in_open
		panic("cannot open")
	}
	outputs := []flowloom.Output{
		{Name: "v", Type: flowloom.Integer, Description: "Packets of the flow."},
		{Name: "t", Type: flowloom.Text, Description: "A text."},
		{Name: "j", Type: flowloom.JSON, Description: "A JSON value."},
	}
	if p.is("no_outputs") { // mistake: no_outputs
		outputs = nil
	}
	return flowloom.Manifest{
		Version:     "0.1.0",
		Description: "Makes mistakes.",
		Packet:      packet,
		AtExpire:    atExpire,
		Outputs:     outputs,
		CutsFlows:   p.is("no_cuts"), // mistake: no_cuts
	}, nil
}

func (p *Mistakes) Init(state *State, packet, flow flowloom.Row) {
	state.packets = 1
	if p.is("undeclared_flow_field_at_init") { // mistake: undeclared_flow_field_at_init
		state.packets += flow.Signed(0)
	}
	if p.is("wrong_type_of_field") { // mistake: wrong_type_of_field
		state.packets += int64(len(packet.Text(ipSize)))
	}
	if p.is("exception_in_init") { // mistake: exception_in_init
		panic(errors.New("cannot begin"))
	}
}

func fill(depth int64) int64 { return fill(depth+1) + depth }

func divide(by int64) int64 { return 100 / by }

func allocate(state *State) {
	for {
		state.names = append(state.names, make([]byte, 1<<20))
	}
}

func loop(state *State) {
	for {
		state.packets++
	}
}

func (p *Mistakes) Update(state *State, packet, _ flowloom.Row) {
	state.packets++
	if p.is("undeclared_packet_field") { // mistake: undeclared_packet_field
		state.packets += int64(packet.Unsigned(nPacket))
	}
	if p.is("exception_in_update") { // mistake: exception_in_update
		panic(fmt.Errorf("cannot continue after %d packets", state.packets))
	}
	if p.is("print") && !p.hasPrinted { // mistake: print
		p.hasPrinted = true
		fmt.Print(state.packets, " packets,")
		fmt.Println(" and more")
		println("a line on stderr:", 7)
		log.SetFlags(0)
		log.Print("a line of package log")
		fmt.Fprintln(os.Stderr, "panic: a line that is none of Go's runtime")
		fmt.Fprintln(os.Stderr, "the line after it")
		fmt.Print("a line without an end")
	}
	if p.is("loop") { // mistake: loop
		loop(state)
	}
	if p.is("recursion") { // mistake: recursion
		state.packets += fill(0)
	}
	if p.is("allocation") { // mistake: allocation
		allocate(state)
	}
	if p.is("division") { // mistake: division
		state.packets += divide(state.packets - 2)
	}
	if p.is("index") { // mistake: index
		state.packets += int64(state.names[state.packets][0])
	}
	if p.is("null") { // mistake: null
		var missing *State
		state.packets += missing.packets
	}
	if p.is("panic") { // mistake: panic
		panic("no such state")
	}
	if p.is("panic_in_goroutine") { // mistake: panic_in_goroutine
		done := make(chan bool)
		go func() {
			defer close(done)
			panic("no such state")
		}()
		<-done
	}
	if p.is("sleep") { // mistake: sleep
		time.Sleep(time.Hour)
	}
	if p.is("deadlock") { // mistake: deadlock
		<-make(chan bool)
	}
	if p.is("exit") { // mistake: exit
		os.Exit(3)
	}
	if p.is("file") { // mistake: file
		if _, err := os.ReadFile("names.txt"); err != nil {
			panic(err)
		}
	}
}

func (p *Mistakes) Expire(state *State, flow flowloom.Row, outputs *flowloom.Outputs) {
	if p.is("undeclared_flow_field") { // mistake: undeclared_flow_field
		state.packets += flow.Signed(nFlow)
	}
	if p.is("wrong_type_text") { // mistake: wrong_type_text
		outputs.SetText(v, "x")
	}
	if p.is("unknown_output") { // mistake: unknown_output
		outputs.SetInteger(nOutputs, 1)
	}
	if p.is("set_twice") { // mistake: set_twice
		outputs.SetInteger(v, 1)
	}
	if p.is("invalid_json") { // mistake: invalid_json
		outputs.SetJSON(j, "{")
	}
	if p.is("exception_in_expire") { // mistake: exception_in_expire
		panic(struct{}{})
	}
	outputs.SetInteger(v, state.packets)
	outputs.SetText(t, "t")
}

func (p *Mistakes) Finish() {
	if p.is("exception_in_finish") { // mistake: exception_in_finish
		panic("cannot finish")
	}
}

func init() { flowloom.Export(&Mistakes{}) }

func main() {}
