package flowloom

import (
	"errors"
	"strconv"
)

// Options are the options that the operator gave. Options that Open does not read are errors; the error
// lists the options that it reads.
type Options struct {
	keys, values []string
	read         []bool
	known        string
}

// Text returns the value of an option, and whether the operator gave it.
func (o *Options) Text(key string) (string, bool) {
	if o.known != "" {
		o.known += ", "
	}
	o.known += "`" + key + "`"
	for n := range o.keys {
		if o.keys[n] == key {
			o.read[n] = true
			return o.values[n], true
		}
	}
	return "", false
}

// Integer returns the value of an integer option, or byDefault if the operator did not give it. It returns
// an error if the value is not an integer from least to most.
func (o *Options) Integer(key string, byDefault, least, most int64) (int64, error) {
	text, given := o.Text(key)
	if !given {
		return byDefault, nil
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < least || value > most {
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		return 0, errors.New("option `" + key + "` must be an integer from " + number(least) + " to " +
			number(most) + ", not \"" + text + "\"")
	}
	return value, nil
}

// check returns an error if an option was given twice or was not read.
func (o *Options) check() error {
	accepted := o.known
	if accepted == "" {
		accepted = "no options"
	}
	for n, key := range o.keys {
		for _, earlier := range o.keys[:n] {
			if earlier == key {
				return errors.New("option `" + key + "` is given twice")
			}
		}
		if !o.read[n] {
			return errors.New("unknown option `" + key + "`; this plugin accepts " + accepted)
		}
	}
	return nil
}
