package flowloom

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Options are the options that the operator gave. The methods Boolean, Integer, Float and Text read an option and
// describe it to the operator. Open must return their errors. An option that Open does not read is an error, which
// lists all options that it reads. A key is [a-z][a-z0-9_]{0,31}; a description is one sentence for people.
type Options struct {
	keys, values []string
	read         []bool
	described    []optionDescription
}

type optionType uint8

// The option types of the contract, in its order.
const (
	booleanOption optionType = iota
	integerOption
	floatOption
	textOption
)

type optionDescription struct {
	key, accepts string
	kind         optionType
	isRequired   bool
	byDefault    string // empty if the option is optional
	text         string
}

// Boolean reads `true` or `false`. It returns byDefault if the operator did not give the option.
func (o *Options) Boolean(key, description string, byDefault bool) (bool, error) {
	d := optionDescription{key: key, accepts: "true or false", kind: booleanOption,
		byDefault: strconv.FormatBool(byDefault), text: description}
	text, given := o.find(d)
	if given && text != "true" && text != "false" {
		return false, d.wrong(text)
	}
	return text == "true" || !given && byDefault, nil
}

// Integer reads an integer from least to most. It returns byDefault if the operator did not give the option.
func (o *Options) Integer(key, description string, byDefault, least, most int64) (int64, error) {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	d := optionDescription{key: key, accepts: "an integer from " + number(least) + " to " + number(most),
		kind: integerOption, byDefault: number(byDefault), text: description}
	text, given := o.find(d)
	if !given {
		return byDefault, nil
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || value < least || value > most {
		return 0, d.wrong(text)
	}
	return value, nil
}

// Float reads a number from least to most. Infinities are no limits. It returns byDefault if the operator did
// not give the option.
func (o *Options) Float(key, description string, byDefault, least, most float64) (float64, error) {
	number := func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }
	d := optionDescription{key: key, accepts: "a number", kind: floatOption, byDefault: number(byDefault),
		text: description}
	if !math.IsInf(least, -1) {
		d.accepts += " from " + number(least)
	}
	if !math.IsInf(most, 1) {
		d.accepts += " to " + number(most)
	}
	text, given := o.find(d)
	if !given {
		return byDefault, nil
	}
	value, err := strconv.ParseFloat(text, 64)
	// The text of a number that is not decimal contains other characters.
	isDecimal := strings.Trim(text, "0123456789+-.eE") == ""
	if err != nil || !isDecimal || value < least || value > most {
		return 0, d.wrong(text)
	}
	return value, nil
}

// Text reads a text. It returns byDefault if the operator did not give the option; an empty default makes the
// option optional. accepts describes the accepted texts, which the method does not check.
func (o *Options) Text(key, description, byDefault, accepts string) string {
	d := optionDescription{key: key, accepts: accepts, kind: textOption, byDefault: byDefault, text: description}
	if text, given := o.find(d); given {
		return text
	}
	return byDefault
}

// Require makes an option required. Call it after the option was read; the default then does not count. It returns an
// error if the operator did not give the option.
func (o *Options) Require(key string) error {
	for n := range o.described {
		if o.described[n].key == key {
			o.described[n].isRequired = true
		}
	}
	if !slices.Contains(o.keys, key) {
		return errors.New("option `" + key + "` is missing; " + o.accepted())
	}
	return nil
}

// find describes an option. It returns its value, and whether the operator gave it.
func (o *Options) find(description optionDescription) (string, bool) {
	o.described = append(o.described, description)
	for n, key := range o.keys {
		if key == description.key {
			o.read[n] = true
			return o.values[n], true
		}
	}
	return "", false
}

func (d optionDescription) wrong(given string) error {
	return errors.New("option `" + d.key + "` must be " + d.accepts + ", not \"" + given + "\"")
}

// check returns an error if an option was given twice or was not read.
func (o *Options) check() error {
	for n, key := range o.keys {
		if !o.read[n] {
			return errors.New("unknown option `" + key + "`; " + o.accepted())
		}
		for _, earlier := range o.keys[:n] {
			if earlier == key {
				return errors.New("option `" + key + "` is given twice")
			}
		}
	}
	return nil
}

// accepted lists the options that the plugin read, in one line.
func (o *Options) accepted() string {
	if len(o.described) == 0 {
		return "this plugin accepts no options"
	}
	var lines []string
	for _, d := range o.described {
		byDefault := "default " + d.byDefault
		if d.isRequired {
			byDefault = "required"
		} else if d.byDefault == "" {
			byDefault = "optional"
		}
		lines = append(lines, "`"+d.key+"` ("+d.accepts+", "+byDefault+"): "+strings.TrimRight(d.text, "."))
	}
	return "this plugin accepts " + strings.Join(lines, "; ")
}
