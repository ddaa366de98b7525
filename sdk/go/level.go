package flowloom

// A Level says how much a line in Flowloom's log matters.
type Level uint32

// The levels.
const (
	Error Level = iota
	Warn
	Info
	Debug
)
