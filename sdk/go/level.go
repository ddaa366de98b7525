package flowloom

// A Level is the severity of a line in Flowloom's log.
type Level uint32

// The levels, from the most severe one.
const (
	Error Level = iota
	Warn
	Info
	Debug
)
