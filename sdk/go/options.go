package flowloom

import (
	"errors"
	"strconv"
)

// Options are what the operator set. Those that Open does not read are errors, which list what it
// reads.
type Options struct {
	keys, values []string
	read         []bool
	known        string
}

// Text is the value of an option, and whether it was given.
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

// Integer is the value of an option that is an integer within bounds, or what stands where it is not
// given.
func (o *Options) Integer(key string, otherwise, least, most int64) (int64, error) {
	text, given := o.Text(key)
	if !given {
		return otherwise, nil
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < least || value > most {
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		return 0, errors.New("option `" + key + "` must be an integer from " + number(least) + " to " +
			number(most) + ", not \"" + text + "\"")
	}
	return value, nil
}

func (o *Options) check() error {
	takes := o.known
	if takes == "" {
		takes = "none"
	}
	for n, key := range o.keys {
		for _, earlier := range o.keys[:n] {
			if earlier == key {
				return errors.New("option `" + key + "` is given twice")
			}
		}
		if !o.read[n] {
			return errors.New("there is no option `" + key + "`; this plugin takes " + takes)
		}
	}
	return nil
}
