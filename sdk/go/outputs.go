package flowloom

// Outputs are the outputs of the flow that ends. Set each output at most once, to a value of its type; any
// other use panics. Outputs are counted from 0. Values are copied.
type Outputs struct {
	declared []Output
	columns  []output
	row      int
	rows     int
}

// output contains the values of one output for the expired flows of a batch.
type output struct {
	valid    []uint8
	booleans []uint8
	integers []int64
	floats   []float64
	bytes    []byte
	textEnds []uint32 // the end of each text of lists of texts, in bytes
	ends     []uint32
	texts    []list // the answer for a list of texts of a single event
}

func newOutputs(declared []Output, rows int) *Outputs {
	o := &Outputs{declared: declared, rows: rows, columns: make([]output, len(declared))}
	for n := range o.columns {
		c := &o.columns[n]
		c.valid = make([]uint8, rows)
		switch declared[n].Type {
		case Boolean:
			c.booleans = make([]uint8, rows)
		case Integer:
			c.integers = make([]int64, rows)
		case Float:
			c.floats = make([]float64, rows)
		default:
			c.ends = make([]uint32, rows)
		}
	}
	return o
}

// SetBoolean sets output n.
func (o *Outputs) SetBoolean(n int, value bool) {
	c := o.set(n, Boolean)
	if value {
		c.booleans[o.row] = 1
	}
}

// SetInteger sets output n.
func (o *Outputs) SetInteger(n int, value int64) { o.set(n, Integer).integers[o.row] = value }

// SetFloat sets output n.
func (o *Outputs) SetFloat(n int, value float64) { o.set(n, Float).floats[o.row] = value }

// SetText sets output n.
func (o *Outputs) SetText(n int, value string) { o.appendText(n, Text, value) }

// SetJSON sets output n.
func (o *Outputs) SetJSON(n int, value string) { o.appendText(n, JSON, value) }

func (o *Outputs) appendText(n int, t Type, value string) {
	c := o.set(n, t)
	c.bytes = append(c.bytes, value...)
	c.ends[o.row] = uint32(len(c.bytes))
}

// SetBytes sets output n.
func (o *Outputs) SetBytes(n int, value []byte) {
	c := o.set(n, Bytes)
	c.bytes = append(c.bytes, value...)
	c.ends[o.row] = uint32(len(c.bytes))
}

// SetIntegers sets output n.
func (o *Outputs) SetIntegers(n int, value []int64) {
	c := o.set(n, Integers)
	c.integers = append(c.integers, value...)
	c.ends[o.row] = uint32(len(c.integers))
}

// SetFloats sets output n.
func (o *Outputs) SetFloats(n int, value []float64) {
	c := o.set(n, Floats)
	c.floats = append(c.floats, value...)
	c.ends[o.row] = uint32(len(c.floats))
}

// SetTexts sets output n.
func (o *Outputs) SetTexts(n int, value []string) {
	c := o.set(n, Texts)
	for _, text := range value {
		c.bytes = append(c.bytes, text...)
		c.textEnds = append(c.textEnds, uint32(len(c.bytes)))
	}
	c.ends[o.row] = uint32(len(c.textEnds))
}

// set marks output n of the current flow as set, and returns its column.
func (o *Outputs) set(n int, t Type) *output {
	if uint(n) >= uint(len(o.columns)) || o.declared[n].Type != t || o.columns[n].valid[o.row] == 1 {
		panic(wrongOutput{o, n, t})
	}
	c := &o.columns[n]
	c.valid[o.row] = 1
	return c
}

// reset prepares for another flow, if there is only one row. It keeps the memory.
func (o *Outputs) reset() {
	for n := range o.columns {
		c := &o.columns[n]
		c.valid[0] = 0
		c.bytes = c.bytes[:0]
		c.textEnds = c.textEnds[:0]
		switch o.declared[n].Type {
		case Boolean:
			c.booleans[0] = 0
		case Integers:
			c.integers = c.integers[:0]
		case Floats:
			c.floats = c.floats[:0]
		}
	}
}

// finish completes the ends: a flow without a value has the end of the flow before.
func (c *output) finish() {
	last := uint32(0)
	for n := range c.ends {
		if c.valid[n] == 0 {
			c.ends[n] = last
		}
		last = c.ends[n]
	}
}
